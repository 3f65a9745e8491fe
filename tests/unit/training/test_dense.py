from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from helpers.dense_networks import padded_network
from scripts.errors import InputError
from scripts.network.orientations import orient
from scripts.training.augmentation import Augmentation
from scripts.training.dense import (
    DenseLoss,
    DenseTrainingInferer,
    PrepareDense,
    TakeLabelledd,
    center_grid,
)
from scripts.training.jitter import SharpnessJitter
from scripts.training.teaching import MeanOfNetworks

CPU = torch.device("cpu")
FIELD, PATCH = (288, 288), (224, 224)


def prepare(field: Any = FIELD, **arguments: Any) -> PrepareDense:
    return PrepareDense(label_size=PATCH, patch_size=field, preprocessing=lambda data: data, **arguments)


def batch(count: int, side: int, label: torch.Tensor) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    return {"image": image, "label": label}


def test_a_label_of_the_middle_stands_in_the_middle() -> None:
    label = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1)
    pixels, grid, arguments, keywords = prepare(num_alone=3)(batch(2, 300, label), CPU)
    assert pixels.shape == (2, 3, *FIELD)
    assert arguments == ()
    assert grid.shape == (2, 1, 3, 3)
    torch.testing.assert_close(grid[:, 0, 1, 1], torch.tensor([1.0, 0.0]))
    assert int(grid.isnan().sum()) == 16
    assert keywords["alone"][:, :2].tolist() == [[4, 4], [4, 4]], "half of the patches run alone have a label"


def test_the_other_half_of_the_patches_alone_may_be_any() -> None:
    label = torch.tensor([1.0]).reshape(1, 1, 1, 1)
    _, _, _, keywords = prepare(num_alone=401)(batch(1, 300, label), CPU)
    labelled, others = keywords["alone"][0, :201], keywords["alone"][0, 201:]
    assert set(labelled.tolist()) == {4}
    assert set(others.tolist()) == set(range(9))


def test_a_full_grid_stays_and_patches_are_drawn_from_all_of_it() -> None:
    label = torch.arange(9.0).remainder(2).reshape(1, 1, 3, 3)
    _, grid, _, keywords = prepare(num_alone=200)(batch(1, 288, label), CPU)
    torch.testing.assert_close(grid, label)
    assert set(keywords["alone"].flatten().tolist()) == set(range(9))


def test_labels_turn_with_their_picture() -> None:
    torch.manual_seed(3)
    bright = torch.zeros(64, 1, 3, 3)
    bright[:, 0, 0, 1] = 1
    bright[:, 0, 2, 2] = 1
    pictures = (bright * 255).repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1).byte()
    plain = Augmentation((24, 24), zoom=(1.0, 1.0), resample_prob=0.0)
    turned, labels = plain.with_labels(pictures, bright)
    torch.testing.assert_close(turned[:, :1, 4::8, 4::8] / 255, labels)
    assert len({tuple(label.flatten().tolist()) for label in labels}) == 8


def test_the_eight_orientations_differ() -> None:
    patch = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = orient(patch.expand(8, -1, -1, -1), torch.arange(8))
    assert len({tuple(item.flatten().tolist()) for item in found}) == 8
    torch.testing.assert_close(found[:1], patch)


def test_the_inferer_runs_pictures_and_patches_alone() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3), padded_network()).train()
    pictures = torch.rand(2, 3, 288, 320, generator=torch.Generator().manual_seed(1)) - 0.5
    alone = torch.tensor([[0, 7], [11, 5]])
    running = {name: value.clone() for name, value in network.state_dict().items()}
    logits = DenseTrainingInferer(PATCH, "float32")(pictures, network, alone=alone)
    assert logits.shape == (2, 2, 3, 4)
    network.eval()
    torch.testing.assert_close(logits[:, :1], network(pictures))
    for index, chosen in enumerate(alone.tolist()):
        for position in range(12):
            row, col = divmod(position, 4)
            found = logits[index, 1, row, col]
            if position not in chosen:
                assert found.isnan()
                continue
            patch = pictures[index : index + 1, :, row * 32 : row * 32 + 224, col * 32 : col * 32 + 224]
            torch.testing.assert_close(found, network(patch)[0, 0, 0, 0])
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, running[name], msg=f"{name} is left")


def test_patches_of_pictures_without_labels_go_to_a_teacher() -> None:
    label = torch.tensor([1.0]).reshape(1, 1, 1, 1)
    _, grid, _, keywords = prepare(num_alone=200, teachers=[None, "weights.pt"])(batch(1, 300, label), CPU)
    assert int(grid.isnan().sum()) == 8
    assert set(keywords["alone"].flatten().tolist()) == set(range(9))


def test_the_teacher_sees_patches_alone_and_learns_nothing() -> None:
    network, teacher = padded_network().train(), padded_network(seed=3).eval()
    pictures = torch.rand(2, 3, 288, 320, generator=torch.Generator().manual_seed(1)) - 0.5
    alone = torch.tensor([[0, 7], [11, 5]])
    logits = DenseTrainingInferer(PATCH, "float32", [teacher])(pictures, network, alone=alone)
    assert logits.shape == (2, 3, 3, 4)
    plain = DenseTrainingInferer(PATCH, "float32")(pictures, network, alone=alone)
    torch.testing.assert_close(logits[:, :2], plain, equal_nan=True)
    taught = DenseTrainingInferer(PATCH, "float32")(pictures, teacher, alone=alone)
    torch.testing.assert_close(logits[:, 2:], taught[:, 1:], equal_nan=True)
    loss = DenseLoss()(logits, torch.zeros(2, 1, 3, 4))
    loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_network_alone_sees_what_is_changed() -> None:
    network, teacher = padded_network().eval(), padded_network(seed=3).eval()
    pictures = torch.rand(2, 3, 288, 320, generator=torch.Generator().manual_seed(1)) - 0.5
    alone = torch.tensor([[0, 7], [11, 5]])
    changed = pictures.flip(1)
    jitter = SharpnessJitter(0.0, 0.243)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SharpnessJitter, "__call__", lambda _, patches: patches.flip(1))
        found = DenseTrainingInferer(PATCH, "float32", [teacher], jitter=jitter)(pictures, network, alone=alone)
    learning = DenseTrainingInferer(PATCH, "float32")(changed, network, alone=alone)
    taught = DenseTrainingInferer(PATCH, "float32", [teacher])(pictures, network, alone=alone)
    torch.testing.assert_close(found[:, :2], learning, equal_nan=True)
    torch.testing.assert_close(found[:, 2:], taught[:, 2:], equal_nan=True)
    assert not torch.equal(learning[:, 0], taught[:, 0])


def test_a_teacher_of_turns_gives_their_mean() -> None:
    network, teacher = padded_network().eval(), padded_network(seed=3).eval()
    pictures = torch.rand(1, 3, 288, 288, generator=torch.Generator().manual_seed(2)) - 0.5
    alone = torch.tensor([[0, 4]])
    patches = torch.cat([pictures[:, :, :224, :224], pictures[:, :, 32:256, 32:256]])
    views = [torch.rot90(view, turns, (2, 3)) for view in (patches, patches.flip(3)) for turns in range(4)]
    each = torch.stack([teacher(view).flatten() for view in views])
    assert each.std(dim=0).min() > 1e-4, "orientations differ"
    taught = DenseTrainingInferer(PATCH, "float32", [None, teacher], 8)(pictures, network, alone=alone)[:, 2].flatten()[
        alone[0]
    ]
    torch.testing.assert_close(taught, each.mean(dim=0))
    torch.manual_seed(0)
    some = [
        DenseTrainingInferer(PATCH, "float32", [teacher], 1)(pictures, network, alone=alone)[:, 2].flatten()[alone[0]]
        for _ in range(12)
    ]
    drawn = (torch.stack(some)[:, None] - each).abs().argmin(dim=1)
    assert (drawn != drawn[:, :1]).any(), "each patch has an orientation of its own"
    assert len(drawn.unique()) > 4
    torch.testing.assert_close(torch.stack(some), each.gather(0, drawn))


@pytest.mark.parametrize("turns", [-1, 9, True, 1.5])
def test_turns_that_are_none_are_refused(turns: Any) -> None:
    with pytest.raises(InputError, match="teacher_turns must be an integer from 0 to 8"):
        DenseTrainingInferer(PATCH, "float32", [], turns)


def test_turns_of_patches_that_are_not_square_are_refused() -> None:
    with pytest.raises(InputError, match="teacher_turns needs square patches"):
        MeanOfNetworks([padded_network()], 1)(torch.zeros(1, 3, 224, 192))


def test_with_a_teacher_labels_count_nowhere() -> None:
    nan = float("nan")
    pred = torch.tensor([[[[0.5, -1.0, 4.0]], [[nan, 0.25, 1.0]], [[nan, 0.5, 6.0]]]], requires_grad=True)
    loss = DenseLoss(agreement=0.3)(pred, torch.tensor([[[[1.0, nan, 0.0]]]]))
    inside = ((1.5 - 0.5) + (2.0 - 0.5)) / 2  # of errors beyond 1, the error less one half
    alone = (0.25**2 / 2 + (5.0 - 0.5)) / 2
    torch.testing.assert_close(loss, torch.tensor(inside + alone))
    loss.backward()
    assert pred.grad is not None
    assert not pred.grad.isnan().any()


def test_the_loss_by_hand() -> None:
    nan = float("nan")
    pred = torch.tensor([[[[0.5, -1.0]], [[nan, 0.25]]]], requires_grad=True)
    label = torch.tensor([[[[1.0, 0.0]]]])
    inside = binary_cross_entropy_with_logits(torch.tensor([0.5, -1.0]), torch.tensor([1.0, 0.0]))
    alone = binary_cross_entropy_with_logits(torch.tensor([0.25]), torch.tensor([0.0]))
    loss = DenseLoss(agreement=0.3)(pred, label)
    torch.testing.assert_close(loss, (inside + alone) / 2 + 0.3 * 1.25**2)
    loss.backward()
    assert pred.grad is not None
    assert not pred.grad.isnan().any()
    weighted = DenseLoss(agreement=0.0, pos_weight=torch.tensor(3.0))(pred[..., :1], label[..., :1])
    assert weighted.isnan(), "nothing was run alone"


def test_unknown_labels_count_nowhere() -> None:
    nan = float("nan")
    pred = torch.tensor([[[[0.5, 9.0]], [[0.25, nan]]]])
    label = torch.tensor([[[[1.0, nan]]]])
    torch.testing.assert_close(DenseLoss(0.0)(pred, label), DenseLoss(0.0)(pred[..., :1], label[..., :1]))
    found = TakeLabelledd()({"pred": pred, "label": label, "other": 1})
    torch.testing.assert_close(found["pred"], torch.tensor([[0.5]]))
    torch.testing.assert_close(found["label"], torch.tensor([[1.0]]))
    assert found["other"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_alone": 0}, "num_alone must be a positive integer"),
        ({"field": (230, 288)}, "field_size must be patch_size, .* multiples of 32 pixels more"),
        ({"field": (192, 192)}, "field_size must be patch_size"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(**arguments)


def test_a_grid_without_a_middle_is_refused() -> None:
    with pytest.raises(InputError, match="no place in the middle"):
        center_grid(torch.zeros(1, 1, 1, 1), (2, 3))
    with pytest.raises(InputError, match="agreement must be at least 0"):
        DenseLoss(-1.0)
