"""Inference on synthetic slides, real files and a mosaic of real patches: what each value of a map stands for."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from helpers.mosaic import write_mosaic
from helpers.ramp import ramp_image, write_ramp
from integration.conftest import SHAPE, Outcome
from scripts import bundle_root
from scripts.geometry import map_shape
from scripts.slides.pyramid import write_pyramid
from scripts.synthetic.cohort import Cohort

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STRIDE = 256
"""Coarse, to be quick."""

Command = Callable[..., Outcome]


def read_map(folder: Path, name: str) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    return np.load(folder / f"{name}.npy"), json.loads((folder / f"{name}.json").read_text())


def write_mask(folder: Path, name: str, mask: npt.NDArray[np.bool_]) -> Path:
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def color_network(tmp_path: Path) -> Callable[[int], Path]:
    """An overlay whose network tells the color at a patch's center."""

    def write(channel: int) -> Path:
        path = tmp_path / f"channel_{channel}.json"
        network = {"_target_": "helpers.networks.CentralColor", "channel": channel}
        path.write_text(json.dumps({"network_def": network, "weights": None, "precision": "float32"}))
        return path

    return write


def color_of(prob_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probabilities of `CentralColor` back to 0 to 255."""
    logits = np.log(prob_map.astype(np.float64) / (1 - prob_map.astype(np.float64)))
    color: npt.NDArray[np.float64] = (logits + 1) * 127.5
    return color


# --- position --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [0, 1], ids=["rows", "columns"])
@pytest.mark.parametrize(("stride", "tile_size"), [(64, 2048), (37, 500)])
def test_each_value_stands_for_the_patch_at_its_center(
    tumor_detection: Command,
    color_network: Callable[[int], Path],
    tmp_path: Path,
    channel: int,
    stride: int,
    tile_size: int,
) -> None:
    shape = (701, 1103)
    write_ramp(tmp_path / "ramp_001.tif", shape)
    rows, cols = map_shape(shape, stride)
    mask = np.ones((rows, cols), dtype=bool)
    mask[2:4, 3:9] = False
    masks = write_mask(tmp_path / "masks", "ramp_001", mask)
    flags = ["--slides", tmp_path / "ramp_001.tif", "--foreground_dir", masks, "--stride", stride]
    flags += ["--config_file", color_network(channel), "--tile_size", tile_size, "--output_dir", tmp_path / "maps"]
    outcome = tumor_detection("infer", *flags)
    assert outcome.status == 0, outcome.err

    prob_map, sidecar = read_map(tmp_path / "maps", "ramp_001")
    assert prob_map.shape == (rows, cols) == (math.ceil(shape[0] / stride), math.ceil(shape[1] / stride))
    assert prob_map.dtype == np.float32
    assert (prob_map[~mask] == 0).all()
    centers = np.floor((np.indices((rows, cols)) + 0.5) * stride).astype(int)
    # the middle of a patch of 224 is where four pixels meet; beyond the slide's edge it is white
    padded = np.pad(ramp_image(shape).astype(float), ((0, stride), (0, stride), (0, 0)), constant_values=255)
    middle = [padded[centers[0] + row, centers[1] + col, channel] for row in (-1, 0) for col in (-1, 0)]
    expected = np.mean(middle, axis=0)
    np.testing.assert_allclose(color_of(prob_map[mask]), expected[mask], atol=0.01)
    assert sidecar["num_positions"] == mask.sum()
    assert sidecar["mask"] == "ramp_001.png"
    assert sidecar["weights"] is None


@pytest.mark.parametrize(("mpp", "stride"), [(0.5, 64), (0.121, 100)])
def test_positions_of_a_resampled_slide_are_those_of_level_0(
    tumor_detection: Command, color_network: Callable[[int], Path], tmp_path: Path, mpp: float, stride: int
) -> None:
    shape = (1501, 2203)
    write_ramp(tmp_path / "ramp_001.tif", shape, mpp)
    mask = np.zeros(map_shape(shape, stride), dtype=bool)
    mask[2:-2, 2:-2] = True
    masks = write_mask(tmp_path / "masks", "ramp_001", mask)
    for channel in (0, 1):
        flags = ["--slides", tmp_path / "ramp_001.tif", "--foreground_dir", masks, "--stride", stride]
        flags += ["--config_file", color_network(channel), "--output_dir", tmp_path / f"maps_{channel}"]
        outcome = tumor_detection("infer", *flags)
        assert outcome.status == 0, outcome.err
        prob_map, sidecar = read_map(tmp_path / f"maps_{channel}", "ramp_001")
        assert prob_map.shape == map_shape(shape, stride)
        assert sidecar["model_downsample"] == pytest.approx(0.243 / mpp)
        level0 = (np.indices(prob_map.shape)[channel] + 0.5) * stride
        found = color_of(prob_map[mask]) / 255 * (shape[channel] - 1) + 0.5
        # the ramp's gray levels are up to nine pixels wide and rounded, a patch starts at a whole pixel of the model
        step = shape[channel] / 255
        assert np.abs(found - level0[mask]).max() <= step + 0.5 + 0.5 * sidecar["model_downsample"]


# --- what a run leaves -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort_maps(cohort: Cohort, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of the test slides, made by the bundle's network in float32 with cuCIM or what serves."""
    from scripts.cli.main import main

    folder = tmp_path_factory.mktemp("maps")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    main([*infer_flags(cohort, weights), "--output_dir", str(folder)])
    root.handlers[:], root.level = before  # pytest's
    return folder


def infer_flags(cohort: Cohort, weights: Path) -> list[str]:
    flags = ["infer", "--slides", *map(str, cohort.testing), "--weights", str(weights), "--stride", str(STRIDE)]
    return [*flags, "--precision", "float32", "--num_workers", "0"]


def test_one_map_and_sidecar_per_slide(cohort_maps: Path, cohort: Cohort, weights: Path) -> None:
    names = [path.stem for path in cohort.testing]
    expected = {f"{name}{suffix}" for name in names for suffix in (".npy", ".json", "_artifacts.png")}
    expected |= {"run.json", ".lock"}
    assert {path.name for path in cohort_maps.iterdir()} == expected
    for name in names:
        prob_map, sidecar = read_map(cohort_maps, name)
        assert prob_map.shape == map_shape(SHAPE, STRIDE) == (5, 7)
        assert prob_map.dtype == np.float32
        assert 0 < (prob_map > 0).sum() == sidecar["num_positions"] <= prob_map.size
        assert prob_map.max() < 1
        assert sidecar["slide"] == f"{name}.tif"
        assert sidecar["shape"] == list(SHAPE)
        assert (sidecar["stride"], sidecar["model_downsample"]) == (STRIDE, 1.0)
        assert sidecar["mpp"] == pytest.approx(0.243, rel=1e-4)
        assert sidecar["mask"] == "Otsu on saturation"
        assert sidecar["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
        assert sidecar["max_probability"] == pytest.approx(float(prob_map.max()), abs=1e-5)
    summary = json.loads((cohort_maps / "run.json").read_text())
    assert [Path(item["slide"]).stem for item in summary["slides_done"]] == names
    assert summary["slides_failed"] == []


@pytest.mark.cucim
def test_cucim_and_openslide_give_the_same_map(
    tumor_detection: Command, cohort: Cohort, weights: Path, cohort_maps: Path, tmp_path: Path
) -> None:
    outcome = tumor_detection(
        *infer_flags(cohort, weights), "--backend", "openslide", "--output_dir", tmp_path / "maps"
    )
    assert outcome.status == 0, outcome.err
    for path in cohort.testing:
        by_cucim, sidecar = read_map(cohort_maps, path.stem)
        by_openslide, other_sidecar = read_map(tmp_path / "maps", path.stem)
        assert (sidecar["backend"], other_sidecar["backend"]) == ("cucim", "openslide")
        np.testing.assert_array_equal(by_openslide, by_cucim)


def test_given_masks_and_computed_ones_give_the_same_map(
    tumor_detection: Command, cohort: Cohort, weights: Path, cohort_maps: Path, tmp_path: Path
) -> None:
    slide = cohort.testing[0]
    flags = ["--slides", slide, "--output", tmp_path / "foreground", "--stride", STRIDE]
    assert tumor_detection("foreground", *flags).status == 0
    flags = ["--slides", slide, "--weights", weights, "--stride", STRIDE, "--precision", "float32"]
    flags += ["--foreground_dir", tmp_path / "foreground", "--num_workers", 2, "--output_dir", tmp_path / "maps"]
    outcome = tumor_detection("infer", *flags, "--batch_size", 7, "--tile_size", 700)
    assert outcome.status == 0, outcome.err
    expected, _ = read_map(cohort_maps, slide.stem)
    found, sidecar = read_map(tmp_path / "maps", slide.stem)
    np.testing.assert_array_equal(found > 0, expected > 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)  # other batches, tiles and workers
    assert sidecar["mask"] == f"{slide.stem}.png"


def test_blank_slide_gives_zeros(tumor_detection: Command, weights: Path, tmp_path: Path) -> None:
    write_pyramid(tmp_path / "blank.tif", np.full((1501, 1103, 3), 240, dtype=np.uint8), 0.243)
    flags = ["--slides", tmp_path / "blank.tif", "--weights", weights, "--output_dir", tmp_path / "maps"]
    outcome = tumor_detection("infer", *flags, "--num_workers", 0)
    assert outcome.status == 0, outcome.err
    prob_map, sidecar = read_map(tmp_path / "maps", "blank")
    assert prob_map.shape == (24, 18)
    assert not prob_map.any()
    assert sidecar["num_positions"] == 0


def test_bad_slide_does_not_stop_the_others(
    tumor_detection: Command, cohort: Cohort, color_network: Callable[[int], Path], tmp_path: Path
) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    (slides / "a_broken.tif").write_bytes(cohort.testing[0].read_bytes()[:5000])
    shutil.copy(cohort.testing[0], slides / "b_good.tif")
    write_ramp(slides / "c_unknown.tif", (701, 903), mpp=None)
    flags = ["--slides", slides, "--config_file", color_network(0), "--stride", STRIDE]
    outcome = tumor_detection("infer", *flags, "--output_dir", tmp_path / "maps")
    assert outcome.status == 1
    assert outcome.error.startswith("error: 2 of 3 slides failed, the others are done (see ")
    assert sorted(path.name for path in (tmp_path / "maps").glob("*.npy")) == ["b_good.npy"]
    summary = json.loads((tmp_path / "maps" / "run.json").read_text())
    reasons = {Path(item["slide"]).stem: item["reason"] for item in summary["slides_failed"]}
    assert "cannot be opened as a slide" in reasons["a_broken"]
    assert "--assume_mpp" in reasons["c_unknown"]

    again = tumor_detection("infer", *flags, "--assume_mpp", 0.243, "--output_dir", tmp_path / "again")
    assert again.status == 1
    assert {path.stem for path in (tmp_path / "again").glob("*.npy")} == {"b_good", "c_unknown"}


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--stride", 0, "stride: expected a whole number"),
        ("--batch_size", 0, "batch_size: expected a whole number"),
        ("--precision", "float16", "precision must be one of auto, float32, bfloat16"),
        ("--weights", "gone.pt", "gone.pt: no such file of weights"),
        ("--backend", "tifffile", "backend must be one of auto, cucim, openslide"),
    ],
)
def test_bad_settings_are_refused_in_one_line(
    tumor_detection: Command, cohort: Cohort, weights: Path, tmp_path: Path, flag: str, value: object, message: str
) -> None:
    flags: dict[str, object] = {"--slides": cohort.testing[0], "--weights": weights, "--output_dir": tmp_path / "maps"}
    flags |= {"--stride": 512, "--num_workers": 0, flag: value}
    outcome = tumor_detection("infer", *(part for pair in flags.items() for part in pair))
    assert outcome.status == 1
    assert outcome.error.startswith("error: ")
    assert message in outcome.error
    assert "unexpected" not in outcome.error
    assert not list(tmp_path.glob("maps/*.npy"))


# --- real files ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_slides(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A real Aperio region, a real DICOM level, and a mosaic of real CAMELYON16 patches."""
    mosaic = tmp_path_factory.mktemp("mosaic") / "mosaic.tif"
    return {
        "svs": shared_data / "slides" / "cmu-1-small-region.svs",
        "dicom": shared_data / "slides" / "multiframe_camelyon_challenge_image.dcm",
        "mosaic": write_mosaic(mosaic, shared_data / "camelyon16_40x" / "patches.zip"),
    }


@pytest.mark.parametrize(
    ("kind", "shape", "stride", "reads", "downsample"),
    [
        ("svs", (2967, 2220), 256, "enlarged", 0.243 / 0.499),
        ("dicom", (700, 1152), 64, "enlarged", 0.243 / 28.97),
        ("mosaic", (7 * 256 + 346, 10 * 256 + 822), 256, "level 0 as it is", 1.0),
    ],
)
def test_real_files_go_through_every_step(
    tumor_detection: Command,
    real_slides: dict[str, Path],
    tmp_path: Path,
    kind: str,
    shape: tuple[int, int],
    stride: int,
    reads: str,
    downsample: float,
) -> None:
    slide = real_slides[kind]
    examined = tumor_detection("doctor", "--slides", slide)
    assert examined.status == 0, examined.err
    assert f"{shape[0]} x {shape[1]}" in examined.out
    assert reads in examined.out

    folder = tmp_path / "foreground"
    outcome = tumor_detection("foreground", "--slides", slide, "--output", folder, "--stride", stride)
    assert outcome.status == 0, outcome.err
    mask = np.asarray(Image.open(folder / f"{slide.stem}.png")) > 0
    assert mask.shape == map_shape(shape, stride)
    assert 0.1 < mask.mean() < 0.9, "tissue and background"
    assert (folder / f"{slide.stem}_overlay.jpg").stat().st_size > 1000

    flags = ["--slides", slide, "--foreground_dir", folder, "--stride", stride, "--output_dir", tmp_path / "maps"]
    outcome = tumor_detection("infer", *flags)
    assert outcome.status == (1 if kind == "dicom" else 0), outcome.err
    if kind == "dicom":
        assert "times the model's 0.243, found 28.9" in outcome.error
        outcome = tumor_detection("infer", *flags, "--max_enlargement", 120)
        assert outcome.status == 0, outcome.err
    prob_map, sidecar = read_map(tmp_path / "maps", slide.stem)
    assert prob_map.shape == mask.shape
    np.testing.assert_array_equal(prob_map > 0, mask)
    assert ((prob_map >= 0) & (prob_map <= 1)).all()
    assert sidecar["model_downsample"] == pytest.approx(downsample, rel=1e-3)
    shipped = Path(bundle_root()) / "models" / "model.pt"
    assert sidecar["weights_sha256"] == hashlib.sha256(shipped.read_bytes()).hexdigest()


@pytest.mark.cucim
@pytest.mark.parametrize("kind", ["svs", "mosaic"])
def test_backends_agree_on_real_files(
    tumor_detection: Command,
    real_slides: dict[str, Path],
    color_network: Callable[[int], Path],
    tmp_path: Path,
    kind: str,
) -> None:
    slide = real_slides[kind]
    maps = []
    for backend in ("cucim", "openslide"):
        flags = ["--slides", slide, "--backend", backend, "--config_file", color_network(1), "--stride", 128]
        outcome = tumor_detection("infer", *flags, "--output_dir", tmp_path / backend)
        assert outcome.status == 0, outcome.err
        maps.append(read_map(tmp_path / backend, slide.stem)[0])
    np.testing.assert_array_equal(*maps)
    assert (maps[0] > 0).any()
