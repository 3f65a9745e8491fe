from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from monai.networks.nets import TorchVisionFCModel
from torch.nn.parallel import DistributedDataParallel

from helpers.networks import TinyNetwork
from scripts.errors import InputError
from scripts.training.augmentation import Augmentation
from scripts.training.jitter import ColorJitter
from scripts.training.pretraining import EmbeddingInferer, PrepareViews, TwoViewLoss, all_parameters, decorrelation_loss

CPU = torch.device("cpu")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- two views ------------------------------------------------------------------------------------------------------


def views_of(patches: torch.Tensor, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    augmentation = Augmentation((24, 24), **settings)
    label = torch.arange(float(len(patches))).reshape(-1, 1, 1, 1)
    prepare = PrepareViews((24, 24), lambda data: {"image": data["image"] / 255}, augmentation)
    return prepare({"image": patches, "label": label}, CPU)


def test_each_patch_is_there_twice_in_the_same_order() -> None:
    """Patches of one gray each: neither turning nor zooming changes them."""
    grays = torch.arange(20, 200, 9, dtype=torch.uint8)
    views, label = views_of(grays.reshape(-1, 1, 1, 1).expand(-1, 3, 32, 32), resample_prob=1.0, turn=180.0)
    assert views.shape == (40, 3, 24, 24)
    assert views.dtype == torch.float32
    torch.testing.assert_close(views[:, 0, 12, 12] * 255, torch.cat([grays, grays]).float())
    assert label.flatten().tolist() == list(range(20)), "one label a patch"


def test_the_views_are_augmented_each_on_its_own() -> None:
    patches = torch.randint(60, 200, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(4)
    views, _ = views_of(patches, color=ColorJitter(0.4, 0.4, 0.4, 0.08), zoom=(0.7, 1.4), resample_prob=1.0)
    first, second = views.chunk(2)
    assert bool(((first - second).abs().mean(dim=(1, 2, 3)) > 0.02).all())


def test_views_without_augmentation_are_refused() -> None:
    with pytest.raises(InputError, match="train#augmentation must not be null"):
        PrepareViews((24, 24), lambda data: data, None)


# --- embeddings -----------------------------------------------------------------------------------------------------


def test_an_embedding_is_the_mean_of_the_networks_features() -> None:
    network = TorchVisionFCModel("resnet18", use_conv=True, pool=("avg", {"kernel_size": 3, "stride": 1})).eval()
    pixels = drawn(4, 3, 96, 96)
    with torch.no_grad():
        found = EmbeddingInferer("float32")(pixels, network)
        assert found.shape == (4, 512)
        torch.testing.assert_close(network.fc(found[:, :, None, None]), network(pixels), msg="what fc is given")
        coarse = EmbeddingInferer("bfloat16")(pixels, network)
    assert coarse.dtype == torch.float32
    assert not torch.equal(coarse, found)
    torch.testing.assert_close(coarse, found, rtol=0.1, atol=0.1)


def test_a_network_without_features_is_refused() -> None:
    with pytest.raises(InputError, match=r"^network_def: .* a part named features, .*, but TinyNetwork has none$"):
        EmbeddingInferer("float32")(drawn(2, 3, 96, 96), TinyNetwork())


def test_several_processes_are_refused() -> None:
    wrapped = DistributedDataParallel.__new__(DistributedDataParallel)  # to make a real one takes several processes
    with pytest.raises(InputError, match=r"^pretraining runs in one process; leave multi_gpu_train\.json out"):
        EmbeddingInferer("float32")(drawn(2, 3, 96, 96), wrapped)


# --- the loss -------------------------------------------------------------------------------------------------------


def slow_loss(first: torch.Tensor, second: torch.Tensor, redundancy: float) -> float:
    """The loss as the paper writes it, number by number, with torch's epsilon of batch normalization."""
    count, width = first.shape

    def normalized(view: torch.Tensor) -> list[list[float]]:
        columns = []
        for values in view.double().T.tolist():
            mean = sum(values) / count
            variance = sum((value - mean) ** 2 for value in values) / count
            columns.append([(value - mean) / math.sqrt(variance + 1e-5) for value in values])
        return columns

    ones, others = normalized(first), normalized(second)
    total = 0.0
    for i in range(width):
        for j in range(width):
            correlation = sum(a * b for a, b in zip(ones[i], others[j], strict=True)) / count
            total += (1 - correlation) ** 2 if i == j else redundancy * correlation**2
    return total / width


@pytest.mark.parametrize("redundancy", [0.0, 0.005, 0.7])
def test_the_loss_is_that_of_the_paper(redundancy: float) -> None:
    first = drawn(9, 5) * torch.tensor([1.0, 3.0, 0.2, 1.0, 7.0]) + 2
    second = first + 0.5 * drawn(9, 5, seed=1)
    found = decorrelation_loss(first, second, redundancy)
    assert found.shape == ()
    assert float(found) == pytest.approx(slow_loss(first, second, redundancy), rel=1e-4)


def test_the_same_views_of_independent_numbers_cost_nothing() -> None:
    whole = torch.linalg.qr(drawn(64, 8) - drawn(64, 8).mean(dim=0))[0]  # columns of mean 0, orthogonal to each other
    assert float(decorrelation_loss(whole, whole, 1.0)) == pytest.approx(0, abs=1e-4)
    repeated = whole[:, [0, 0, 2, 3, 4, 5, 6, 7]]
    assert float(decorrelation_loss(repeated, repeated, 1.0)) == pytest.approx(2 / 8, rel=0.01), "told twice"
    assert float(decorrelation_loss(whole, -whole, 0.0)) == pytest.approx(4, rel=0.01)


def test_the_loss_projects_each_view_and_ignores_labels() -> None:
    torch.manual_seed(0)
    loss = TwoViewLoss(6, 5, redundancy=0.3)
    assert [tuple(value.shape) for value in loss.parameters() if value.dim() == 2] == [(5, 6), (5, 5), (5, 5)]
    assert not [name for name, _ in loss.named_parameters() if name.endswith("0.bias")]
    pred = torch.cat([drawn(7, 6), 5 + 3 * drawn(7, 6, seed=1)]).requires_grad_()
    found = loss(pred, torch.full((7, 1, 1, 1), torch.nan))
    views = [loss.projector(pred[:7]), loss.projector(pred[7:])]
    assert found.item() == pytest.approx(slow_loss(*views, 0.3), rel=1e-3)
    found.backward()
    assert pred.grad is not None
    assert all(value.grad is not None and bool(value.grad.isfinite().all()) for value in loss.parameters())
    assert bool(pred.grad.abs().sum(dim=1).gt(0).all())


def test_the_loss_starts_at_about_one_whatever_the_width() -> None:
    for width in (64, 1024):
        torch.manual_seed(0)
        value = TwoViewLoss(512, width)(drawn(256, 512).relu()).item()
        assert 0.5 < value < 5


def test_all_parameters_are_those_of_each_module() -> None:
    modules = [TinyNetwork(), TwoViewLoss(4, 3)]
    expected = [*modules[0].parameters(), *modules[1].parameters()]
    found = list(all_parameters(modules))
    assert len(found) == len(expected)
    assert all(one is other for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"projector_width": 0}, "projector_width must be a positive integer, but got 0"),
        ({"projector_width": 2.5}, "projector_width must be a positive integer, but got 2.5"),
        ({"num_features": True}, "num_features must be a positive integer, but got True"),
        ({"redundancy": -0.1}, "redundancy must be at least 0, but got -0.1"),
        ({"redundancy": math.nan}, "redundancy must be at least 0, but got nan"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TwoViewLoss(**settings)


def test_a_step_of_one_patch_is_refused() -> None:
    with pytest.raises(InputError, match="this one has 1; raise batch_size"):
        TwoViewLoss(4, 3)(drawn(2, 4))


def test_embeddings_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="loss#num_features must be 6, as of the network's features, but is 4"):
        TwoViewLoss(4, 3)(drawn(8, 6))


def test_the_loss_of_the_same_views_falls() -> None:
    torch.manual_seed(0)
    patches = torch.rand(32, 3, 12, 12)
    views = torch.cat([patches + 0.2 * torch.rand_like(patches) for _ in range(2)])
    network, loss = torch.nn.Module(), TwoViewLoss(8, 16)
    network.features = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU())
    optimizer = torch.optim.AdamW(all_parameters([network, loss]), lr=0.01)
    losses = []
    for _ in range(40):
        value = loss(EmbeddingInferer("float32")(views, network))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < losses[0] / 2
