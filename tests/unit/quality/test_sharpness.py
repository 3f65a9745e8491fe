"""Sharpness by place, on real tissue that is blurred, and squares that cover tissue."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from scripts.quality.sharpness import PLACE_SIDE, find_blur, measure_blur
from scripts.slides.pyramid import downsample_image

TILES = sorted((Path(__file__).parents[4] / "shared" / "data" / "camelyon17_40x").glob("*.jpeg"))
SHAPE = (131, 203)


def tissue_pixels(sigma_um: float = 0.0, seed: int = 0) -> np.ndarray:
    """Nuclei of drawn tissue at 0.486 µm per pixel, blurred at 0.243."""
    rng = np.random.default_rng(seed)
    side = 2 * PLACE_SIDE
    picture = np.full((side, side), 200.0)
    rows, cols = np.indices((side, side))
    for row, col, radius in zip(*rng.uniform((0, 0, 8), (side, side, 14), (90, 3)).T, strict=True):
        picture[(rows - row) ** 2 + (cols - col) ** 2 < radius**2] = rng.uniform(60, 130)
    picture += rng.normal(0, 2, picture.shape)
    blurred = ndimage.gaussian_filter(picture, sigma_um / 0.243) if sigma_um else picture
    return downsample_image(np.repeat(np.clip(blurred, 0, 255).astype(np.uint8)[..., None], 3, axis=2), 2)


def test_blur_grows_with_defocus() -> None:
    values = [measure_blur(tissue_pixels(sigma)) for sigma in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)  # type: ignore[type-var]
    assert values[0] < 0.36  # type: ignore[operator]
    assert values[3] > 0.5  # type: ignore[operator]


def test_a_place_without_contrast_says_nothing() -> None:
    assert measure_blur(np.full((PLACE_SIDE, PLACE_SIDE, 3), 230, dtype=np.uint8)) is None


@pytest.mark.parametrize("kind", ["half", "all", "none"])
def test_blurred_tissue_is_found(kind: str) -> None:
    tissue = np.ones(SHAPE, dtype=bool)
    sharp, blurred = tissue_pixels(), tissue_pixels(1.5)

    def read(center: tuple[int, int]) -> np.ndarray:
        return blurred if kind == "all" or (kind == "half" and center[1] < 100) else sharp

    found = find_blur(tissue, read)
    assert found.num_places > 8
    assert (found.num_blurred > 0) == (kind != "none")
    left, right = found.mask[:, :80].mean(), found.mask[:, 130:].mean()
    assert (left, right) == {"half": (1, 0), "all": (1, 1), "none": (0, 0)}[kind]


def test_a_place_that_is_worse_than_its_slide_is_found() -> None:
    tissue = np.ones(SHAPE, dtype=bool)
    sharp, soft = tissue_pixels(), tissue_pixels(0.5)
    blur = measure_blur(soft)
    assert blur is not None
    assert 0.4 < blur < 0.45
    assert find_blur(tissue, lambda center: soft if center[1] < 60 else sharp).mask[:, :30].all()
    assert not find_blur(tissue, lambda center: soft).mask.any()


@pytest.mark.skipif(not TILES, reason="the tiles of CAMELYON17 are not in shared/data beside the checkout")
def test_real_tissue_is_sharp() -> None:
    for path in TILES:
        picture = np.asarray(Image.open(path).convert("RGB").reduce(2))
        blurs = [measure_blur(picture[row : row + 128, col : col + 128]) for row in (0, 500) for col in (100, 800)]
        assert max(blur for blur in blurs if blur is not None) < 0.36
