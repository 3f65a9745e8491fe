"""Modes and runtimes through the command line, with the shipped weights, on a synthetic slide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from scripts.maps.detections import non_maximum_suppression
from scripts.slides.pyramid import write_pyramid
from scripts.synthetic.cohort import MPP, synthetic_slide

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHAPE = (1103, 803)
SMALL = ("--tile_size", 768, "--num_checks", 0)  # four tiles, each with a quarter of the activations
Infer = Callable[..., npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic slide with one tumor, off the diagonal."""
    path = tmp_path_factory.mktemp("slides") / "tumor_001.tif"
    write_pyramid(path, synthetic_slide(SHAPE, 1, seed=3).image, MPP)
    return path


@pytest.fixture
def infer(slide: Path, tumor_detection: Callable[..., Any], tmp_path: Path) -> Infer:
    """Run ``infer`` with flags; return the map."""

    def run(*flags: object) -> npt.NDArray[np.float32]:
        folder = tmp_path / "_".join(str(flag).strip("-") for flag in flags)
        outcome = tumor_detection(
            "infer", "--slides", slide, "--num_workers", 0, "--output_dir", folder, *SMALL, *flags
        )
        assert outcome.status == 0, outcome.err
        found: npt.NDArray[np.float32] = np.load(folder / "tumor_001.npy")
        return found

    return run


def test_modes_detect_the_same(infer: Infer) -> None:
    maps = {mode: infer("--mode", mode, "--precision", "float32") for mode in ("sliding", "refined", "dense", "auto")}
    sliding = maps["sliding"]
    expected = non_maximum_suppression(sliding, radius=6)
    assert len(expected.prob) >= 1
    np.testing.assert_array_equal(maps["auto"], maps["refined"])
    found = non_maximum_suppression(maps["refined"], radius=6)
    np.testing.assert_array_equal(found.row, expected.row)
    np.testing.assert_array_equal(found.col, expected.col)
    np.testing.assert_allclose(found.prob, expected.prob, rtol=0, atol=0.01)  # as in dense where that is above 0.95
    np.testing.assert_array_equal(maps["refined"] > 0.5, sliding > 0.5)
    differs = np.abs(maps["dense"] - sliding)
    assert differs.max() > 0.01, "zero padding is seen"
    assert np.corrcoef(maps["dense"][sliding > 0], sliding[sliding > 0])[0, 1] > 0.85
    again = np.abs(maps["refined"] - sliding) < 1e-5
    assert again[(maps["dense"] > 0.2) & (maps["dense"] <= 0.95)].all(), "all between the limits"
    limits = ("--refine_above", 0.1, "--refine_below", 1)
    lower = np.abs(infer("--mode", "refined", "--precision", "float32", *limits) - sliding) < 1e-5
    assert lower[sliding > 0.3].all()
    assert (maps["refined"][~again] == maps["dense"][~again]).mean() > 0.99


def test_runtimes_give_the_same_map(infer: Infer) -> None:
    flags = ("--stride", 192, "--precision", "float32", "--runtime")
    np.testing.assert_allclose(infer(*flags, "torch"), infer(*flags, "openvino"), rtol=0, atol=1e-5)


def test_augmentation_changes_the_map_a_little(infer: Infer) -> None:
    flags = ("--stride", 192, "--mode", "dense", "--tta")
    plain, averaged = infer(*flags, "false"), infer(*flags, "true")
    np.testing.assert_array_equal(plain > 0, averaged > 0)
    assert np.abs(plain - averaged).max() > 0.001
    assert np.corrcoef(plain[plain > 0], averaged[plain > 0])[0, 1] > 0.8


def test_a_mode_that_the_stride_does_not_permit_fails_the_slide(
    slide: Path, tumor_detection: Callable[..., Any], tmp_path: Path
) -> None:
    flags = ["--slides", slide, "--stride", 100, "--mode", "dense", "--output_dir", tmp_path / "maps"]
    outcome = tumor_detection("infer", *flags)
    assert outcome.status == 1
    assert "stride 100 is 100 of them" in outcome.error
    assert "--mode sliding" in outcome.error
    (failed,) = json.loads((tmp_path / "maps" / "run.json").read_text())["slides_failed"]
    assert failed["slide"] == str(slide)


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--mode", "fast", "mode must be one of auto, refined, dense, sliding, cascade, but got 'fast'"),
        ("--runtime", "onnx", "runtime must be one of auto, torch, openvino, onnxruntime, but got 'onnx'"),
        ("--refine_above", 2, "refine_above must be a probability"),
        ("--num_checks", -5, "num_checks: expected a whole number"),
        ("--tta", "yes", "tta: expected true or false, found 'yes'"),
    ],
)
def test_bad_settings_are_refused_in_one_line(
    slide: Path, tumor_detection: Callable[..., Any], tmp_path: Path, flag: str, value: object, message: str
) -> None:
    outcome = tumor_detection("infer", "--slides", slide, "--output_dir", tmp_path / "maps", flag, value)
    assert outcome.status == 1
    assert outcome.error.startswith("error: ")
    assert message in outcome.error
    assert not list(tmp_path.glob("maps/*.npy"))
