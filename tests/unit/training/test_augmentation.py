from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import get_track_meta
from monai.transforms import ScaleIntensityRanged
from torch.nn.functional import affine_grid

from helpers.made_patches import tissue
from scripts.errors import InputError
from scripts.network.orientations import center_crop
from scripts.training.augmentation import Augmentation, PrepareAugmented, _sampling_grid
from scripts.training.jitter import ColorJitter, StainJitter

PLAIN: dict[str, Any] = {"resample_prob": 0.0}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def ramp(count: int, shape: tuple[int, int]) -> torch.Tensor:
    """Red along rows, green along columns."""
    rows, cols = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    return torch.stack([rows, cols, torch.zeros_like(rows)])[None].repeat(count, 1, 1, 1).to(torch.uint8)


def test_all_eight_orientations_occur() -> None:
    patches = torch.randint(256, (1, 3, 9, 9), dtype=torch.uint8).repeat(200, 1, 1, 1)
    found = Augmentation((9, 9), **PLAIN)(patches)
    one = patches[0].float()
    eight = [torch.rot90(mirrored, turns, (1, 2)) for mirrored in (one, one.flip(2)) for turns in range(4)]
    counts = [sum(bool(patch.equal(orientation)) for patch in found) for orientation in eight]
    assert sum(counts) == 200
    assert min(counts) > 8


def test_the_center_is_cut_out() -> None:
    patches = ramp(1, (33, 33))
    assert center_crop(patches, (9, 5))[0, :, 0, 0].tolist() == [12, 14, 0]
    assert center_crop(patches, (9, 5)).shape == (1, 3, 9, 5)
    found = Augmentation((9, 9), **PLAIN)(patches)
    assert found.shape == (1, 3, 9, 9)
    assert found[0, :, 4, 4].tolist() == [16, 16, 0]


def test_resampling_in_place_changes_nothing() -> None:
    patches = torch.randint(256, (6, 3, 24, 24), dtype=torch.uint8)
    plain, resampled = [], []
    for found, share in ((plain, 0.0), (resampled, 1.0)):
        torch.manual_seed(3)
        found.append(Augmentation((16, 16), zoom=(1.0, 1.0), resample_prob=share)(patches))
    torch.testing.assert_close(plain[0], resampled[0], rtol=0, atol=2e-2)


@pytest.mark.parametrize("zoom", [0.8, 1.25, 2.0])
def test_zoom_enlarges_around_the_center(zoom: float) -> None:
    found = Augmentation((21, 21), zoom=(zoom, zoom), resample_prob=1.0)(ramp(5, (41, 41)))
    assert found.shape == (5, 3, 21, 21)
    for patch in found:
        assert patch[0, 10, 10] == pytest.approx(20, abs=0.01)
        steps = torch.stack([patch[0].diff(dim=axis).abs().max() for axis in (0, 1)])
        assert steps.max() == pytest.approx(1 / zoom, abs=0.01), "pixels of the cell per pixel of the patch"


def test_turns_and_shifts_stay_within_their_limits() -> None:
    augmentation = Augmentation((11, 11), zoom=(1, 1), turn=20, shift=3, resample_prob=1.0)
    found = augmentation(ramp(300, (61, 61)))
    centers = found[:, :2, 5, 5] - 30
    assert centers.abs().max() <= 3.01
    assert centers.abs().max() > 2.5
    slopes = torch.stack([found[:, 0].diff(dim=axis).mean(dim=(1, 2)) for axis in (1, 2)], dim=1).abs()
    angles = torch.rad2deg(torch.atan2(slopes.min(dim=1).values, slopes.max(dim=1).values))
    assert angles.max() <= 20.1
    assert angles.max() > 17


def test_outside_the_cell_it_is_mirrored() -> None:
    found = Augmentation((32, 32), zoom=(0.5, 0.5), resample_prob=1.0)(tissue(4))
    assert found.min() > 0
    torch.testing.assert_close(found.mean(), tissue(4).float().mean(), rtol=0.05, atol=0)


def test_a_patch_is_resampled_in_any_orientation() -> None:
    """Red grows along one axis, to one of its ends, and green along the other."""
    found = Augmentation((21, 21), zoom=(2.0, 2.0), resample_prob=1.0)(ramp(200, (41, 41)))
    slopes = torch.stack([found[:, :2].diff(dim=axis).mean(dim=(2, 3)) for axis in (2, 3)], dim=2)
    assert len({tuple(patch.flatten().mul(2).round().tolist()) for patch in slopes}) == 8


def test_only_a_share_is_resampled() -> None:
    patches = torch.randint(256, (400, 3, 8, 8), dtype=torch.uint8)
    found = Augmentation((8, 8), zoom=(1.1, 1.1), resample_prob=0.25)(patches)
    whole = (found == found.round()).all(dim=(1, 2, 3))
    assert 0.68 < whole.float().mean() < 0.82


def test_blur_loses_detail_and_keeps_the_mean() -> None:
    checker = ((torch.arange(32)[:, None] + torch.arange(32)) % 2 * 200).to(torch.uint8).expand(2, 3, 32, 32)
    found = Augmentation((32, 32), blur_prob=1.0, **PLAIN)(checker)
    assert found.std() < 5
    assert found.mean() == pytest.approx(100, abs=1)
    torch.testing.assert_close(Augmentation((32, 32), blur_prob=0.0, **PLAIN)(checker).std(), checker.float().std())


def test_a_seed_repeats_it() -> None:
    augmentation = Augmentation((16, 16), ColorJitter(), StainJitter(), turn=180, shift=2, blur_prob=0.5)
    found = []
    for number in (5, 5, 6):
        torch.manual_seed(number)
        found.append(augmentation(tissue(4)))
    assert found[0].equal(found[1])
    assert not found[0].equal(found[2])
    assert found[0].dtype == torch.float32
    assert found[0].min() >= 0
    assert found[0].max() <= 255


# --- batches ------------------------------------------------------------------------------------------------------


def test_batches_are_cut_and_scaled() -> None:
    scale = ScaleIntensityRanged("image", 0.0, 255.0, -1.0, 1.0)
    batch = {"image": ramp(3, (33, 33)), "label": torch.ones(3, 1, 1, 1)}
    image, label = PrepareAugmented((9, 5), scale)(batch, torch.device("cpu"))
    assert image.shape == (3, 3, 9, 5)
    torch.testing.assert_close(image[2, :, 0, 0], torch.tensor([12, 14, 0]) / 127.5 - 1)
    assert label.equal(batch["label"])
    augmented, _ = PrepareAugmented((9, 9), scale, Augmentation((9, 9), **PLAIN))(batch, torch.device("cpu"))
    torch.testing.assert_close(augmented[:, :2, 4, 4], torch.full((3, 2), 16 / 127.5 - 1))


def test_what_is_no_scaling_is_left_to_the_transform() -> None:
    def squared(sample: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert sample["image"].dtype == torch.float32, "as some transforms need it"
        return {"image": sample["image"] ** 2}

    batch = {"image": ramp(11, (33, 33)), "label": torch.ones(11, 1, 1, 1)}
    image, _ = PrepareAugmented((9, 5), squared)(batch, torch.device("cpu"))
    assert image[10, :, 0, 0].tolist() == [144, 196, 0]
    assert type(image) is torch.Tensor


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_all_is_computed_where_the_patches_lie(share: float) -> None:
    """On the device "meta", which refuses tensors of any other and computes shapes alone."""
    augmentation = Augmentation((16, 12), ColorJitter(), StainJitter(), (0.8, 1.2), 180, 3, share, blur_prob=1.0)
    batch = {"image": tissue(9, 32).to("meta"), "label": torch.zeros(9, 1, 3, 3, device="meta")}
    scale = ScaleIntensityRanged("image", 0.0, 255.0, -1.0, 1.0)
    image, label = PrepareAugmented((16, 12), scale, augmentation)(batch, torch.device("meta"))
    assert (image.device.type, image.shape, label.shape) == ("meta", (9, 3, 16, 12), (9, 1, 3, 3))


def test_no_patch_gives_no_patch() -> None:
    scale = ScaleIntensityRanged("image", 0.0, 255.0, -1.0, 1.0)
    batch = {"image": torch.empty(0, 3, 12, 12, dtype=torch.uint8), "label": torch.empty(0, 1, 1, 1)}
    image, label = PrepareAugmented((9, 9), scale, Augmentation((9, 9)))(batch, torch.device("cpu"))
    assert (image.shape, label.shape) == ((0, 3, 9, 9), (0, 1, 1, 1))


def test_each_patch_of_a_batch_keeps_its_place_and_its_labels() -> None:
    """More patches than a CPU changes at a time, each of one gray level, with labels that tell it."""
    levels = torch.arange(21, dtype=torch.uint8)
    corners = torch.zeros(21, 1, 3, 3)
    corners[:, 0, 0, 1] = levels + 1.0
    batch = {"image": levels[:, None, None, None].expand(21, 3, 12, 12).contiguous(), "label": corners}
    image, label = PrepareAugmented((9, 9), lambda sample: sample, Augmentation((9, 9)))(batch, torch.device("cpu"))
    torch.testing.assert_close(image, levels.float()[:, None, None, None].expand(21, 3, 9, 9))
    assert label.amax(dim=(1, 2, 3)).equal(levels + 1.0)
    assert (label[:, 0, 0, 1] > 0).sum() < 21  # some were turned
    assert type(image) is torch.Tensor


def test_metadata_is_tracked_again_after_a_batch() -> None:
    batch = {"image": tissue(1), "label": torch.ones(1, 1, 1, 1)}
    PrepareAugmented((16, 16), ScaleIntensityRanged("image", 0.0, 255.0, -1.0, 1.0))(batch, torch.device("cpu"))
    assert get_track_meta()


def test_sampling_grid_is_that_of_torch() -> None:
    theta = torch.tensor([[[0.9, 0.2, 0.1], [-0.3, 1.1, -0.2]], [[-1.0, 0.0, 0.0], [0.0, 0.5, 0.3]]])
    expected = affine_grid(theta, [2, 3, 7, 5], align_corners=False)
    torch.testing.assert_close(_sampling_grid(theta, (7, 5)), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"zoom": (1.1, 0.9)}, "zoom must be two growing positive numbers"),
        ({"zoom": (0, 1)}, "zoom must be two growing positive numbers"),
        ({"turn": 181}, "turn must be from 0 to 180"),
        ({"shift": -1}, "shift must be from 0"),
        ({"resample_prob": 1.5}, "resample_prob must be from 0 to 1"),
        ({"blur_prob": -0.1}, "blur_prob must be from 0 to 1"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Augmentation((8, 8), **arguments)


def test_small_patches_are_refused() -> None:
    with pytest.raises(InputError, match=r"patches must be at least patch_size, \(9, 9\), but are \(8, 8\)"):
        Augmentation((9, 9))(tissue(1, 8))
