from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2hed
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from helpers.made_patches import tissue
from scripts.errors import InputError
from scripts.training.jitter import ColorJitter, SharpnessJitter, StainJitter, color_map, gaussian_blur


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def change(patches: torch.Tensor, factors: list[float], turn: float, order: list[int]) -> torch.Tensor:
    count = len(patches)
    matrix, shift = color_map(
        patches.mean(dim=(2, 3)),
        torch.tensor([factors] * count),
        torch.full((count,), turn),
        torch.tensor([order] * count),
    )
    return torch.einsum("nij,njhw->nihw", matrix, patches) + shift[..., None, None]


# --- color --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2], [2, 0, 1, 3]])
def test_colors_change_as_torchvisions_do(order: list[int]) -> None:
    # between 60 and 160 nothing is clipped on the way, where the two differ by design
    patches = 60 + 100 * torch.rand(3, 3, 16, 20)
    factors = [1.2, 0.7, 1.3]
    steps = [functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation]
    expected = patches / 255
    for index in order:
        if index < 3:
            expected = steps[index](expected, factors[index])
    torch.testing.assert_close(change(patches, factors, 0.0, order), expected * 255, rtol=0, atol=0.05)


@pytest.mark.parametrize("turn", [-0.04, 0.02, 0.04])
def test_hue_turns_the_same_way_as_torchvisions_and_keeps_the_luma(turn: float) -> None:
    patches = tissue(4).float()
    theirs = functional.adjust_hue(patches / 255, turn) * 255 - patches
    ours = change(patches, [1.0, 1.0, 1.0], turn, [0, 1, 2, 3]) - patches
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.5
    assert 0.8 < ours.norm() / theirs.norm() < 1.4
    luma = torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), ours)
    torch.testing.assert_close(luma, torch.zeros_like(luma), rtol=0, atol=0.1)


def test_jitter_has_the_distribution_of_the_per_sample_transform() -> None:
    # the published settings, on patches in the colors of tissue
    settings = {"brightness": 0.25, "contrast": 0.75, "saturation": 0.25, "hue": 0.04}  # hue keeps another brightness
    patches = tissue(1).repeat(2000, 1, 1, 1)
    found = ColorJitter(**settings)(patches.float())
    per_sample = v2.ColorJitter(**settings)
    expected = torch.stack([per_sample(patch) for patch in patches]).float()
    for statistic in (lambda x: x.mean(dim=(2, 3)), lambda x: x.std(dim=(2, 3))):
        ours, theirs = statistic(found), statistic(expected)
        spread = theirs.std(dim=0)
        assert ((ours.mean(dim=0) - theirs.mean(dim=0)).abs() < 0.3 * spread).all()
        torch.testing.assert_close(ours.std(dim=0), spread, rtol=0.2, atol=0)


def test_jitter_of_nothing_changes_nothing() -> None:
    patches = tissue(3).float()
    torch.testing.assert_close(ColorJitter(0, 0, 0, 0)(patches), patches, rtol=0, atol=1e-3)
    torch.testing.assert_close(StainJitter(0)(patches), patches, rtol=0, atol=1e-2)


def test_each_patch_gets_its_own_colors() -> None:
    patches = tissue(1).repeat(8, 1, 1, 1).float()
    for jitter in (ColorJitter(), StainJitter()):
        means = jitter(patches).mean(dim=(1, 2, 3))
        assert len(means.round(decimals=3).unique()) == 8
        assert patches.equal(tissue(1).repeat(8, 1, 1, 1).float()), "the input stays"


# --- stain --------------------------------------------------------------------------------------------------------


def test_stains_change_their_strength_as_scikit_image_measures_it() -> None:
    patches = tissue(200, 16).float()
    found = StainJitter(0.2)(patches)
    inside = ((found > 1) & (found < 254)).all(dim=(1, 2, 3))
    assert inside.sum() > 100
    before, after = (
        rgb2hed((value[inside].numpy().transpose(0, 2, 3, 1) + 1) / 256).reshape(int(inside.sum()), -1, 3)
        for value in (patches, found)
    )
    slopes = np.empty((len(before), 2))
    for index in range(len(before)):
        for channel in range(2):
            slopes[index, channel], _ = np.polyfit(before[index, :, channel], after[index, :, channel], 1)
    assert (np.abs(slopes - 1) < 0.23).all(), "hematoxylin and eosin are scaled by 0.8 to 1.2"
    assert (slopes.std(axis=0) > 0.08).all()
    assert abs(np.corrcoef(slopes.T)[0, 1]) < 0.3, "each stain on its own"


def test_bad_jitter_is_refused() -> None:
    with pytest.raises(InputError, match=r"hue must be from 0 to 0\.5, but got 0\.6"):
        ColorJitter(hue=0.6)
    with pytest.raises(InputError, match="contrast must be from 0"):
        ColorJitter(contrast=-1)
    with pytest.raises(InputError, match="strength must be from 0 to 1"):
        StainJitter(2)


# --- sharpness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7])
def test_patches_are_blurred_as_scipy_blurs(sigma: float) -> None:
    patches = torch.rand(2, 3, 37, 29)
    expected = gaussian_filter(patches.numpy(), (0, 0, sigma, sigma), mode="mirror", radius=int(np.ceil(3 * sigma)))
    torch.testing.assert_close(gaussian_blur(patches, sigma), torch.from_numpy(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("sharpened", "sign"), [(0.0, -1), (1.0, 1)])
def test_a_share_of_the_patches_loses_or_gains_contrast(sharpened: float, sign: int) -> None:
    patches = tissue(40).float() / 127.5 - 1
    changed = SharpnessJitter(0.6, 0.972, sharpened)(patches)
    differs = (changed != patches).flatten(1).any(dim=1)
    assert 15 <= int(differs.sum()) <= 33
    gain = changed[differs].std(dim=(1, 2, 3)) - patches[differs].std(dim=(1, 2, 3))
    assert (gain * sign > 0).all()
    assert len(gain.unique()) == len(gain)
    assert (changed.amax(dim=(1, 2, 3)) <= patches.amax(dim=(1, 2, 3))).all()
    assert (changed.amin(dim=(1, 2, 3)) >= patches.amin(dim=(1, 2, 3))).all()


def test_a_sharpened_patch_is_one_less_its_blur() -> None:
    patches = 0.4 + 0.2 * torch.rand(1, 3, 24, 24)
    patches[:, :, 0, 0], patches[:, :, 0, 1] = 0.0, 1.0  # so that nothing else is clipped
    changed = SharpnessJitter(1.0, 0.5, 1.0, (0.6, 0.6))(patches)
    expected = (2 * patches - gaussian_blur(patches, 1.2)).clamp(0, 1)
    torch.testing.assert_close(changed, expected)


def test_without_a_share_patches_stay() -> None:
    patches = torch.rand(3, 3, 16, 16)
    assert SharpnessJitter(0.0, 0.243)(patches) is patches


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"share": 1.1}, "share must be from 0 to 1, but got 1.1"),
        ({"share": 0.5, "sharpened": -0.1}, "sharpened must be from 0 to 1, but got -0.1"),
        ({"share": 0.5, "sigma_um": (0.5, 0.2)}, "sigma_um must be two growing positive numbers"),
        ({"share": 0.5, "sigma_um": (0.0, 0.2)}, "sigma_um must be two growing positive numbers"),
    ],
)
def test_settings_of_sharpness_out_of_range_are_refused(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=name):
        SharpnessJitter(mpp=0.243, **settings)
