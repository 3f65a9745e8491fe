"""``--rules monai`` against MONAI's own LesionFROC, on maps and pyramidal TIFF masks that both read from disk."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import tifffile
from monai.apps.pathology.metrics import LesionFROC
from scipy import ndimage

from scripts.scoring.evaluation import score_folder
from scripts.scoring.settings import ScoreSettings

pytestmark = pytest.mark.integration

MAP_SHAPE, LEVEL, MPP = (151, 263), 2, 2.0
STRIDE = 4  # 2 to the level: MONAI knows no other
SHAPE = (MAP_SHAPE[0] * STRIDE, MAP_SHAPE[1] * STRIDE)


def write_mask(path, mask):
    """0 and 1 in three channels, tiled, with levels of half the size each."""
    full = np.repeat(np.repeat(mask, STRIDE, axis=0), STRIDE, axis=1).astype(np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 2, 4):
            level = np.repeat(full[::step, ::step, None], 3, axis=2)
            tiff.write(level, tile=(256, 256), photometric="rgb", subfiletype=int(step > 1), metadata=None)


def write_cohort(folder, seed, hit_all):
    """Three slides with lesions of many sizes and maps of many peaks, and what MONAI wants to know of them."""
    rng = np.random.default_rng(seed)
    (folder / "maps").mkdir()
    (folder / "truth").mkdir()
    samples = []
    for name in ("tumor_001", "tumor_002", "tumor_003"):
        mask = np.zeros(MAP_SHAPE, dtype=bool)
        for row, col, side in ((20, 30, 50), (90, 60, 40), (110, 200, 45)):
            mask[row : row + side // 2, col : col + side] = True
        if not hit_all:
            mask[60 + rng.integers(10), 230:232] = True  # isolated tumor cells
        peaks = np.zeros(MAP_SHAPE)
        peaks[rng.integers(0, MAP_SHAPE[0], 40), rng.integers(0, MAP_SHAPE[1], 40)] = rng.random(40)
        noise = ndimage.gaussian_filter(peaks, 2)
        prob_map = np.round(noise / noise.max() * 20).astype(np.float32) / np.float32(20)  # with ties
        if hit_all:
            for row, col in ((25, 60), (95, 80), (115, 220)):
                prob_map[row - 24 : row + 25, col - 24 : col + 25] = 0
                prob_map[row, col] = 0.55 + 0.4 * rng.random()
        np.save(folder / "maps" / f"{name}.npy", prob_map)
        sidecar = {"slide": f"{name}.tif", "shape": list(SHAPE), "stride": STRIDE, "mpp": MPP}
        (folder / "maps" / f"{name}.json").write_text(json.dumps(sidecar))
        write_mask(folder / "truth" / f"{name}_mask.tif", mask)
        samples.append(
            {
                "prob_map": str(folder / "maps" / f"{name}.npy"),
                "tumor_mask": str(folder / "truth" / f"{name}_mask.tif"),
                "level": LEVEL,
                "pixel_spacing": MPP,
            }
        )
    return samples


@pytest.mark.parametrize("hit_all", [False, True], ids=["some missed", "all hit"])
@pytest.mark.parametrize("seed", range(2))
def test_monais_rules_are_monais(tmp_path, seed, hit_all):
    samples = write_cohort(tmp_path, seed, hit_all)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image renamed what MONAI asks for
        theirs = LesionFROC(samples, image_reader_name="OpenSlide")
        expected = theirs.evaluate()
        false_positives, _, num_lesions, _ = theirs.compute_fp_tp()
    settings = ScoreSettings(rules="monai", num_resamples=0)
    report = score_folder(tmp_path / "maps", tmp_path / "truth", tmp_path / "scores", settings=settings)
    assert report["froc_score"] == pytest.approx(expected, abs=1e-12)
    assert report["num_lesions"] == num_lesions == 9
    assert sum(row["num_false_positives"] for row in report["slides"]) == len(false_positives) > 0
    assert report["num_isolated_tumor_cells"] == (0 if hit_all else 3)
    assert 0 < report["froc_score"] < 1
    if hit_all:
        assert all(row["num_lesions_hit"] == 3 for row in report["slides"])
        kept = score_folder(
            tmp_path / "maps",
            tmp_path / "truth",
            tmp_path / "kept",
            settings=ScoreSettings(24 * STRIDE * MPP, num_resamples=0),
        )
        assert kept["froc_score"] >= report["froc_score"]  # the point that MONAI drops
