from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.ramp import write_coded
from scripts.annotations.writers import write_asap_xml
from scripts.errors import InputError
from scripts.training.dense_regions import DenseRegionDataset

SHAPE = (1501, 2203)
TUMOR = np.array([[700.0, 300.0], [1150.0, 420.0], [930.0, 1010.0]])  # (row, col), off the diagonal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dense")
    for name in ("tumor_001", "normal_002", "odd_003"):
        write_coded(root / f"{name}.tif", SHAPE)
    (root / "truth").mkdir()
    write_asap_xml(root / "truth" / "tumor_001.xml", [TUMOR], [])
    return root


def regions(folder: Path, name: str, location: tuple[int, int], **arguments: Any) -> DenseRegionDataset:
    data = [{"image": str(folder / f"{name}.tif"), "location": location, "label": np.zeros((1, 3, 3))}]
    return DenseRegionDataset(data, truth=folder / "truth", **arguments)


def is_inside(point: tuple[float, float]) -> bool:
    """By the signs of three areas, knowing nothing of the package."""
    (row, col), signs = point, []
    for (r0, c0), (r1, c1) in zip(TUMOR, np.roll(TUMOR, -1, axis=0), strict=True):
        signs.append((r1 - r0) * (col - c0) - (c1 - c0) * (row - r0) > 0)
    return len(set(signs)) == 1


@pytest.mark.parametrize(("mpp", "downsample"), [(0.243, 1), (0.486, 2)])
def test_labels_are_those_of_patch_centers(folder: Path, mpp: float, downsample: int) -> None:
    center = (905, 611)
    found = regions(folder, "tumor_001", center, region_size=480, mpp=mpp)[0]
    assert found["image"].shape == (3, 480, 480)
    assert found["label"].shape == (1, 9, 9)
    assert 3 < found["label"].sum() < 78
    for row in range(9):
        for col in range(9):
            # the patch that starts 32 * row px below the region's edge has its center 112 px further
            point = tuple(center[axis] + (32 * step + 112 - 240) * downsample for axis, step in enumerate((row, col)))
            assert bool(found["label"][0, row, col]) == is_inside((float(point[0]), float(point[1])))


def test_normal_slides_need_no_truth(folder: Path) -> None:
    assert not regions(folder, "normal_002", (700, 500))[0]["label"].any()
    assert not regions(folder, "odd_003", (700, 500), normal="odd_003")[0]["label"].any()
    with pytest.raises(InputError, match=r"no truth for 1 of 1 slide: odd_003; .*--normal"):
        regions(folder, "odd_003", (700, 500))


def test_masks_do(folder: Path, tmp_path: Path) -> None:
    from scripts.masks.groundtruth import write_groundtruth

    write_groundtruth(folder / "truth", [str(folder / "tumor_001.tif")], tmp_path, stride=8)
    data = [{"image": str(folder / "tumor_001.tif"), "location": (905, 611), "label": np.zeros((1, 3, 3))}]
    from_mask = DenseRegionDataset(data, truth=tmp_path)[0]["label"]
    from_outlines = DenseRegionDataset(data, truth=folder / "truth")[0]["label"]
    assert from_mask.shape == (1, 18, 18)
    assert torch.equal(from_mask, from_outlines) or (from_mask != from_outlines).float().mean() < 0.02


def test_regions_smaller_than_patches_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="region_size must be at least patch_size"):
        regions(folder, "tumor_001", (905, 611), region_size=200)
