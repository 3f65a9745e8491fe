"""What slides look like beside training patches: drawn stains of known angles, and real tissue, changed or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy import ndimage
from skimage.color import hed_from_rgb, hsv2rgb, rgb2hsv, rgb_from_hed

from scripts import bundle_root
from scripts.network.purpose import shipped_weights
from scripts.quality.appearance import (
    MEASURES,
    Outlier,
    appearance_notes,
    find_outliers,
    measure_patch,
    measure_ranges,
    measure_sharpness,
    measure_slide,
)
from scripts.slides.slide import open_slide

Pixels = npt.NDArray[np.uint8]
DATA = Path(__file__).parents[4] / "shared" / "data"
STRIP = Path(bundle_root()) / "sample" / "metastasis_strip.tif"
TILES = sorted((DATA / "camelyon17_40x").glob("*.jpeg"))
PIECES = [STRIP, *TILES, *(path for path in [DATA / "slides" / "cmu-1-small-region.svs"] if path.exists())]
WEIGHTS = shipped_weights()


def stained(hematoxylin: float, eosin: float, glass: float = 0.0, noise: float = 0.02) -> Pixels:
    """(72, 81, 3): nuclei of the one stain, half of the pixels, in the other; and glass, a share of the columns."""
    rng = np.random.default_rng(0)
    amounts = np.zeros((72, 81, 3))
    is_nucleus = rng.random((72, 81)) < 0.5
    amounts[is_nucleus, 0], amounts[~is_nucleus, 1] = hematoxylin, eosin
    amounts[:, : round(81 * glass)] = 0
    densities = amounts @ rgb_from_hed + rng.normal(0, noise, (72, 81, 1))
    return np.clip(256 * np.exp(-densities) - 1, 0, 255).astype(np.uint8)


def densities_of(pixels: Pixels) -> npt.NDArray[np.float64]:
    return -np.log((pixels.astype(np.float64) + 1) / 256)


def with_densities(densities: npt.NDArray[np.float64]) -> Pixels:
    return np.clip(256 * np.exp(-densities) - 1, 0, 255).astype(np.uint8)


# --- the measures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.7, 1.0, 2.0])
def test_angles_are_those_of_the_stains_whatever_their_strength(strength: float) -> None:
    found = measure_patch(stained(0.9 * strength, 0.6 * strength, noise=0.002))
    for stain, vector in (("hematoxylin", rgb_from_hed[0]), ("eosin", rgb_from_hed[1])):
        mean = vector.mean()
        x, y = vector[0] / mean - 1, (vector[1] - vector[2]) / np.sqrt(3) / mean  # van der Laak et al. 2000
        assert found[f"{stain}_angle"] == pytest.approx(np.degrees(np.arctan2(y, x)), abs=3)
    assert found["hematoxylin_density"] == pytest.approx(0.45 * strength, rel=0.1)
    assert found["eosin_density"] == pytest.approx(0.3 * strength, rel=0.1)


@pytest.mark.parametrize("key", ["brightness", "hematoxylin_density", "eosin_angle", "hematoxylin_angle"])
def test_glass_between_tissue_changes_nothing(key: str) -> None:
    without, with_glass = measure_patch(stained(0.9, 0.6)), measure_patch(stained(0.9, 0.6, glass=0.4))
    assert with_glass[key] == pytest.approx(without[key], rel=0.03)
    assert with_glass["stained"] == pytest.approx(0.6, abs=0.02)


def test_a_pale_patch_is_pale_though_nothing_passes_as_stained() -> None:
    found = measure_patch(stained(0.15, 0.1))
    assert found["stained"] < 0.2
    assert found["brightness"] > 230


def test_sharpness_falls_with_blur_and_does_not_tell_contrast() -> None:
    sharp = stained(0.9, 0.6)
    values = [measure_sharpness(ndimage.gaussian_filter(sharp, (sigma, sigma, 0))) for sigma in (0.0, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    faded = (sharp / 2 + 100).astype(np.uint8)
    assert measure_sharpness(faded) == pytest.approx(values[0], abs=0.02)
    assert np.isnan(measure_sharpness(np.full((60, 61, 3), 200, dtype=np.uint8)))


def test_a_slide_has_medians_of_what_its_places_show() -> None:
    flat = np.full((60, 61, 3), 120, dtype=np.uint8)
    found = measure_slide([stained(0.9, 0.6), flat, flat])
    assert list(found) == list(MEASURES)
    assert found["sharpness"] == pytest.approx(measure_sharpness(stained(0.9, 0.6)), abs=1e-4)
    assert found["brightness"] == 120
    assert measure_slide([]) == dict.fromkeys(MEASURES)


def test_ranges_are_of_patches_with_tissue_and_sharpness_of_those_that_are_not_enlarged() -> None:
    patches = [stained(0.5 + index / 100, 0.7, noise=0.03) for index in range(60)]
    coarse = [ndimage.zoom(patch, (2, 2, 1), order=1) for patch in patches]
    glass = [stained(0.9, 0.6, glass=0.8)] * 60
    alone, together = measure_ranges(patches), measure_ranges(patches + glass, coarse)
    low, high = alone["hematoxylin_density"]
    assert 0.24 < low < high < 0.56
    assert together["sharpness"] == alone["sharpness"]
    assert measure_ranges(patches[:10], coarse)["sharpness"][0] < alone["sharpness"][0] - 0.3
    assert together["hematoxylin_density"] == pytest.approx(alone["hematoxylin_density"], abs=0.03)
    assert measure_ranges(patches[:20]) == measure_ranges(glass) == {}


def test_only_what_is_far_outside_is_told_with_its_numbers() -> None:
    ranges = {"brightness": [100.0, 200.0], "sharpness": [-0.4, 0.0], "eosin_angle": [105.0, 155.0]}
    near = {"brightness": 219.0, "sharpness": -0.59, "eosin_angle": 96.0, "eosin_density": 9.0}
    assert find_outliers(near, ranges) == []
    far = {"brightness": 79.0, "sharpness": -0.61, "eosin_angle": None}
    assert find_outliers(far, ranges) == [Outlier("brightness", 79, 100, 200), Outlier("sharpness", -0.61, -0.4, 0)]
    assert appearance_notes(far, ranges) == [
        "looks unlike the training data: brightness of stained pixels 79 (training 100 to 200), "
        "sharpness -0.61 (training -0.40 to 0.00)"
    ]
    assert appearance_notes(None, ranges) == appearance_notes(far, None) == []


# --- real tissue ----------------------------------------------------------------------------------------------------


def read_piece(path: Path, mpp: float) -> Pixels:
    """A real piece at about the resolution of the model."""
    if path.suffix == ".jpeg":
        pixels, factor = np.asarray(Image.open(path).convert("RGB")), 4 if mpp > 0.5 else 1
    else:
        with open_slide(path) as slide:
            pixels = slide.read_region((0, 0), slide.shape, 1.0)
            factor = max(1, round(mpp / slide.require_mpp()))
    return np.asarray(Image.fromarray(pixels).reduce(factor))


def tissue_patches(pixels: Pixels, count: int = 12) -> list[Pixels]:
    """Patches at random of which a third or more is tissue."""
    rng = np.random.default_rng(0)
    side = min(128, *pixels.shape[:2])
    corners = [[int(rng.integers(0, length - side + 1)) for length in pixels.shape[:2]] for _ in range(20 * count)]
    patches = (pixels[row : row + side, col : col + side] for row, col in corners)
    return [patch for patch in patches if (patch.mean(axis=-1) < 225).mean() > 0.3][:count]


def outliers_of(patches: list[Pixels], name: str) -> set[str]:
    return {found.measure for found in find_outliers(measure_slide(patches), WEIGHTS[name].appearance or {})}


@pytest.mark.parametrize("name", sorted(WEIGHTS))
@pytest.mark.parametrize("path", PIECES, ids=lambda path: path.stem[:14])
def test_real_tissue_looks_like_the_training_data(path: Path, name: str) -> None:
    assert outliers_of(tissue_patches(read_piece(path, WEIGHTS[name].mpp)), name) == set()


def turned(pixels: Pixels) -> Pixels:
    hsv = rgb2hsv(pixels)
    hsv[..., 0] = (hsv[..., 0] + 1 / 3) % 1
    return (255 * hsv2rgb(hsv)).astype(np.uint8)


def brown(pixels: Pixels) -> Pixels:
    """Diaminobenzidine in place of eosin, over a paler hematoxylin."""
    amounts = np.maximum(densities_of(pixels) @ hed_from_rgb, 0)
    amounts = np.stack([0.6 * amounts[..., 0], 0 * amounts[..., 1], 0.1 + 1.5 * amounts[..., 1]], axis=-1)
    return with_densities(amounts @ rgb_from_hed)


def blurred(pixels: Pixels) -> Pixels:
    return ndimage.gaussian_filter(pixels, (2.5, 2.5, 0))


def dark(pixels: Pixels) -> Pixels:
    return with_densities(6 * densities_of(pixels))


def pale(pixels: Pixels) -> Pixels:
    return with_densities(densities_of(pixels) / 12)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (turned, "hematoxylin_angle"),
        (brown, "eosin_angle"),
        (blurred, "sharpness"),
        (dark, "brightness"),
        (pale, "brightness"),
    ],
)
@pytest.mark.parametrize("path", [STRIP, *TILES[2:4]], ids=lambda path: path.stem[:14])
def test_changed_tissue_does_not(path: Path, change, expected: str, name: str) -> None:
    patches = tissue_patches(read_piece(path, WEIGHTS[name].mpp))
    assert expected in outliers_of([change(patch) for patch in patches], name)
