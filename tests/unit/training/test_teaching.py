from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from helpers.dense_networks import padded_network
from scripts.errors import InputError
from scripts.network.purpose import make_purpose, write_weights
from scripts.slides.slide import MODEL_MPP
from scripts.training.jitter import SharpnessJitter
from scripts.training.teaching import (
    Enlarged,
    MeanOfNetworks,
    PrepareMixed,
    TaughtInferer,
    TeacherLoss,
    make_fine_teacher,
    make_other_teacher,
    make_teacher,
    mean_of_given,
)

CPU = torch.device("cpu")


def weights_of(network: torch.nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


def pictures(count: int, side: int = 224) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) - 0.5


def test_a_teacher_is_a_copy_with_weights_of_its_own(tmp_path: Path) -> None:
    network, other = padded_network(), padded_network(seed=3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    teacher = make_teacher(network, CPU, weights_of(other, tmp_path / "other.pt"), MODEL_MPP)
    assert teacher is not None
    assert not teacher.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
        torch.testing.assert_close(teacher.networks[0].state_dict()[name], other.state_dict()[name], rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert make_teacher(network, CPU, None, MODEL_MPP) is None


def test_several_teachers_give_the_mean_of_their_logits(tmp_path: Path) -> None:
    networks = [padded_network(seed=seed).eval() for seed in (3, 4, 5)]
    paths = [weights_of(network, tmp_path / f"{index}.pt") for index, network in enumerate(networks)]
    teacher = make_teacher(padded_network(), CPU, paths, MODEL_MPP)
    assert teacher is not None
    inputs = pictures(2, 288)
    expected = sum(network(inputs) for network in networks) / 3
    assert expected.std() > 1e-3, "places differ"
    torch.testing.assert_close(teacher(inputs), expected)


def test_a_network_of_another_kind_teaches_beside_the_others(tmp_path: Path) -> None:
    own = padded_network(seed=3).eval()
    other = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 1))
    given = [
        make_teacher(padded_network(), CPU, weights_of(own, tmp_path / "own.pt"), MODEL_MPP),
        make_other_teacher(other, CPU, weights_of(other, tmp_path / "other.pt"), MODEL_MPP),
        make_other_teacher(None, CPU, None, MODEL_MPP),
    ]
    teacher = mean_of_given(given)
    assert teacher is not None
    assert not teacher.training
    inputs = pictures(2)
    torch.testing.assert_close(teacher(inputs), (own(inputs) + other(inputs)[:, :, None, None]) / 2)
    assert mean_of_given([None, None]) is None


def test_another_network_and_its_weights_need_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^other_teacher_def: other_teacher needs the network of its weights; give"):
        make_other_teacher(None, CPU, tmp_path / "other.pt", MODEL_MPP)
    with pytest.raises(InputError, match=r"^other_teacher: other_teacher_def needs weights; give a file of them"):
        make_other_teacher(padded_network(), CPU, None, MODEL_MPP)


def test_a_turned_teacher_gives_the_mean_over_orientations() -> None:
    network, inputs = padded_network(seed=3).eval(), pictures(2)
    views = [torch.rot90(view, turns, (2, 3)) for view in (inputs, inputs.flip(3)) for turns in range(4)]
    each = torch.stack([network(view) for view in views])
    assert each.std(dim=0).min() > 1e-4, "orientations differ"
    found = TaughtInferer([MeanOfNetworks([network])], "float32", 8)(inputs, padded_network())[:, 1:]
    torch.testing.assert_close(found, each.mean(dim=0))


def test_an_empty_list_of_teachers_is_refused() -> None:
    with pytest.raises(InputError, match=r"^teacher: expected a file of weights, or a list of some, .*; name one$"):
        make_teacher(padded_network(), CPU, [], MODEL_MPP)
    with pytest.raises(InputError, match=r"^teacher: expected a file of weights.*--teacher"):
        TaughtInferer([None, None])


def test_the_network_and_its_teacher_see_the_same_and_only_the_network_learns(tmp_path: Path) -> None:
    network, other = padded_network().train(), padded_network(seed=3).eval()
    teacher = make_teacher(network, CPU, weights_of(other, tmp_path / "other.pt"), MODEL_MPP)
    inputs = pictures(3)
    logits = TaughtInferer([teacher], "float32")(inputs, network)
    assert logits.shape == (3, 2, 1, 1)
    torch.testing.assert_close(logits[:, :1], network(inputs))
    torch.testing.assert_close(logits[:, 1:], other(inputs))
    TeacherLoss()(logits, torch.zeros(3, 1, 1, 1)).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert teacher is not None
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_network_alone_sees_what_is_changed() -> None:
    network, other = padded_network().eval(), padded_network(seed=3).eval()
    inputs = pictures(3)
    jitter = SharpnessJitter(1.0, 0.243)
    torch.manual_seed(2)
    found = TaughtInferer([MeanOfNetworks([other])], "float32", jitter=jitter)(inputs, network)
    torch.manual_seed(2)
    torch.testing.assert_close(found[:, :1], network(jitter(inputs)))
    torch.testing.assert_close(found[:, 1:], other(inputs))
    assert not torch.equal(found[:, :1], network(inputs))


class Center(torch.nn.Module):
    """Gives what it sees."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs


def test_a_finer_network_sees_the_central_part_enlarged() -> None:
    inputs = pictures(2, 20)
    found = Enlarged(Center(), (24, 16), low=-0.4, high=0.3)(inputs)
    assert found.shape == (2, 3, 24, 16)
    for picture, enlarged in zip(inputs, found, strict=True):
        for channel, result in zip(picture[:, 7:13, 8:12], enlarged, strict=True):
            # Pillow's kernel is sharper (a = -0.5, not -0.75): alike away from edges, but not the same
            expected = Image.fromarray(channel.numpy()).resize((16, 24), Image.Resampling.BICUBIC)
            difference = np.abs(np.asarray(expected).clip(-0.4, 0.3) - result.numpy())
            assert difference.max() < 0.12
            assert difference.mean() < 0.03
    assert found.min() == -0.4
    assert found.max() == pytest.approx(0.3)
    with pytest.raises(InputError, match="factor must divide patch_size"):
        Enlarged(Center(), (24, 18))


def test_teachers_of_both_resolutions_count_alike(tmp_path: Path) -> None:
    coarse, fine = padded_network(seed=3).eval(), padded_network(seed=4).eval()
    paths = [weights_of(network, tmp_path / f"{index}.pt") for index, network in enumerate((coarse, fine))]
    teachers = [
        make_teacher(coarse, CPU, paths[0], 0.972),
        make_fine_teacher(fine, CPU, paths[1], 0.972),
    ]
    inputs = pictures(2)
    found = TaughtInferer(teachers, "float32")(inputs, padded_network())[:, 1:]
    middle = interpolate(inputs[:, :, 84:140, 84:140], scale_factor=4, mode="bicubic").clamp(-1, 1)
    torch.testing.assert_close(found, (coarse(inputs) + fine(middle)) / 2)
    alone = TaughtInferer([None, teachers[1]], "float32")(inputs, padded_network())[:, 1:]
    torch.testing.assert_close(alone, fine(middle))
    assert make_fine_teacher(fine, CPU, None, 0.972) is None


def test_the_loss_is_the_cross_entropy_with_the_teachers_probabilities() -> None:
    pred = torch.tensor([[0.5, -1.0], [-2.0, 3.0]])[..., None, None].requires_grad_()
    expected = 0.0
    for logit, wanted in pred[..., 0, 0].tolist():
        p, q = (1 / (1 + 2.718281828459045**-value) for value in (logit, wanted))
        expected -= (q * torch.tensor(p).log() + (1 - q) * torch.tensor(1 - p).log()).item() / 2
    loss = TeacherLoss()(pred, torch.tensor([0.0, 1.0])[:, None, None, None])
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, pred)
    torch.testing.assert_close(gradient[:, 0], (pred[:, 0].sigmoid() - pred[:, 1].sigmoid()) / 2)


def prepared(mix_prob: float, count: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches of one color each, the color being the patch's number."""
    prepare = PrepareMixed(mix_prob=mix_prob, patch_size=(8, 8), preprocessing=lambda data: data)
    image = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 10, 10)
    label = torch.arange(count).remainder(2).float()[:, None, None, None]
    return prepare({"image": image, "label": label}, CPU)


def test_no_patch_is_mixed_unless_asked_for() -> None:
    pixels, label = prepared(0.0)
    torch.testing.assert_close(pixels[:, 0, 0, 0], torch.arange(64.0))
    torch.testing.assert_close(label.flatten(), torch.arange(64.0).remainder(2))


def test_a_share_of_the_patches_is_mixed_with_another_of_the_batch() -> None:
    torch.manual_seed(0)
    pixels, label = prepared(0.5)
    torch.testing.assert_close(label.flatten(), torch.arange(64.0).remainder(2))
    assert (pixels == pixels[:, :1, :1, :1]).all(), "a patch of one color stays one"
    values = pixels[:, 0, 0, 0]
    mixed = (values - torch.arange(64.0)).abs() > 1e-4
    assert 16 < int(mixed.sum()) < 48
    torch.manual_seed(0)
    share = torch.rand(64) / 2 * (torch.rand(64) < 0.5)
    others = torch.randperm(64).float()
    torch.testing.assert_close(values, torch.arange(64.0) * (1 - share) + others * share)
    assert float(share.max()) <= 0.5, "a patch keeps half of its weight"


@pytest.mark.parametrize("mix_prob", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(mix_prob: Any) -> None:
    with pytest.raises(InputError, match=r"^mix_prob must be from 0 to 1, but got"):
        prepared(mix_prob)


@pytest.mark.parametrize(("make", "mpp"), [(make_teacher, 0.243), (make_fine_teacher, 0.972)])
def test_weights_of_another_resolution_are_no_teacher(tmp_path: Path, make: Any, mpp: float) -> None:
    network = padded_network()
    write_weights(tmp_path / "fit.pt", network.state_dict(), make_purpose(0.243, 224))
    write_weights(tmp_path / "other.pt", network.state_dict(), make_purpose(0.972, 96))
    assert make(network, CPU, tmp_path / "fit.pt", mpp) is not None
    with pytest.raises(InputError, match=r"other\.pt: trained at 0\.972 µm per pixel on patches of 96 px, but"):
        make(network, CPU, [tmp_path / "fit.pt", tmp_path / "other.pt"], mpp)
