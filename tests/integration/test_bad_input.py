"""Bad input, through the command line: one line that names file, problem and way out, a status, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.deadly_slide import change_frame
from integration.conftest import SHAPE, Loclabels, Outcome
from scripts.slides.cucim_backend import CucimPixels
from scripts.slides.pyramid import write_pyramid
from scripts.synthetic.cohort import Cohort

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STRIDE = 512
"""Coarse, to be quick."""

Command = Callable[..., Outcome]
SCRIPTS = Path(__file__).parents[2] / "bundle" / "scripts"


def assert_fails(outcome: Outcome, *parts: object) -> None:
    """It ended with status 1 and one line on standard error that holds these parts in this order."""
    assert outcome.status == 1, outcome
    rest = outcome.error
    assert rest.startswith("error: ")
    assert "unexpected" not in rest
    for part in map(str, parts):
        assert part in rest, f"{part!r} is not in {outcome.error!r}, or too early"
        rest = rest.split(part, maxsplit=1)[1]


def write_flat(path: Path, mpp: float | None = 0.243, shape: tuple[int, int] = (601, 903)) -> Path:
    """A slide of one stained square on white."""
    image = np.full((*shape, 3), 245, dtype=np.uint8)
    image[100:400, 300:800] = (200, 60, 150)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pyramid(path, image, mpp, downsamples=(1, 4))
    return path


def damage_tile(path: Path, row: int, col: int, level: int = 0, start: float = 0.0) -> None:
    """Overwrite the tile that holds a pixel of a level, from a fraction of its bytes on."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[level]
        index = row // page.tilelength * -(-page.imagewidth // page.tilewidth) + col // page.tilewidth
        offset, size = page.dataoffsets[index], page.databytecounts[index]
    with open(path, "r+b") as file:
        skipped = int(start * size)
        file.seek(offset + skipped)
        file.write(b"\xff" * (size - skipped))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.fixture
def slides(cohort: Cohort, tmp_path: Path) -> Path:
    """Copies of the test slides, and the first once more as test_003, to be damaged."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for path in cohort.testing:
        shutil.copy(path, folder)
    shutil.copy(cohort.testing[0], folder / "test_003.tif")
    return folder


@pytest.fixture
def infer(tumor_detection: Command, tmp_path: Path) -> Command:
    """Run inference quickly; writes into the folder ``maps``. Unless weights are given, a small network runs."""
    tiny = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}, "weights": None}
    (tmp_path / "tiny.json").write_text(json.dumps(tiny))

    def run(*arguments: object, **flags: object) -> Outcome:
        given = {"stride": STRIDE, "output_dir": "maps", "num_workers": 0, "runtime": "torch", "mode": "sliding"}
        given |= flags
        if "weights" not in flags:
            given["config_file"] = tmp_path / "tiny.json"
        words = [word for flag, value in given.items() for word in (f"--{flag}", value)]
        return tumor_detection("infer", *words, *arguments)

    return run


def names(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(path.name for path in folder.glob(pattern) if path.name != ".lock")


# --- slides -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["foreground --output o", "groundtruth --output o --annotations .", "doctor"])
def test_a_missing_slide_is_named(tumor_detection: Command, command: str) -> None:
    name, *rest = command.split()
    outcome = tumor_detection(name, *rest, "--slides", "nope.tif")
    assert_fails(outcome, "nope.tif: no such file or folder; give slides or a folder of slides")


def test_inference_names_a_missing_slide(infer: Command, tmp_path: Path) -> None:
    assert_fails(infer(slides="nope.tif"), "nope.tif: no such file or folder; ")
    assert not names(tmp_path / "maps", "*.npy")


@pytest.mark.parametrize("command", ["foreground --output o", "infer", "doctor"])
def test_an_empty_folder_is_named(tumor_detection: Command, infer: Command, command: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    name, *rest = command.split()
    outcome = infer(slides="empty") if name == "infer" else tumor_detection(name, *rest, "--slides", "empty")
    assert_fails(outcome, "empty: no slides found; expected files ending in .tif .tiff .svs")


def test_two_slides_of_one_name_are_refused(tumor_detection: Command, infer: Command, tmp_path: Path) -> None:
    first, second = write_flat(tmp_path / "a" / "s.tif"), write_flat(tmp_path / "b" / "s.svs")
    for outcome in (
        tumor_detection("foreground", "--slides", first, second, "--output", "o"),
        tumor_detection("foreground", "--slides", "a", "b", "--output", "o"),
        infer("--slides", first, second),
    ):
        assert_fails(outcome, "s.tif and ", "s.svs share the name 's'", "rename one, or run them into different")


def test_foreground_does_the_other_slides(tumor_detection: Command, slides: Path, tmp_path: Path) -> None:
    truncate(slides / "test_001.tif")
    outcome = tumor_detection("foreground", "--slides", slides, "--output", "masks", "--stride", STRIDE)
    reason = f"{slides / 'test_001.tif'}: cannot be opened as a slide"
    assert_fails(outcome, "1 of 3 slides failed, the others are done; first: ", reason, "truncated")
    assert names(tmp_path / "masks", "*[0-9].png") == ["test_002.png", "test_003.png"]


def test_groundtruth_does_the_other_slides(
    tumor_detection: Command, cohort: Cohort, slides: Path, tmp_path: Path
) -> None:
    truncate(slides / "test_001.tif")  # and test_003 has no annotation
    arguments = ("--annotations", cohort.annotations_dir, "--slides", slides, "--output", "truth", "--stride", STRIDE)
    outcome = tumor_detection("groundtruth", *arguments)
    assert_fails(
        outcome,
        "2 of 3 slides failed, the others are done: ",
        "test_001.tif: cannot be opened as a slide",
        "test_003.tif: no annotation named 'test_003'",
        "add its annotation or mend the name",
    )
    assert names(tmp_path / "truth") == ["test_002.json", "test_002.png"]


@pytest.mark.parametrize("backend", [pytest.param("cucim", marks=pytest.mark.cucim), "openslide"])
@pytest.mark.parametrize("start", [0.0, 0.6], ids=["whole tile", "rest of a tile"])
def test_inference_sets_damaged_slides_aside(
    infer: Command, slides: Path, tmp_path: Path, backend: str, start: float
) -> None:
    truncate(slides / "test_001.tif")
    damage_tile(slides / "test_003.tif", SHAPE[0] // 2, SHAPE[1] // 2, start=start)
    outcome = infer(slides=slides, backend=backend)
    assert_fails(outcome, "2 of 3 slides failed, the others are done (see maps/run.json); first: ", "test_001.tif: ")
    assert names(tmp_path / "maps") == ["run.json", "test_002.json", "test_002.npy", "test_002_artifacts.png"]
    record = json.loads((tmp_path / "maps" / "run.json").read_text())
    assert [Path(done["slide"]).name for done in record["slides_done"]] == ["test_002.tif"]
    truncated, damaged = record["slides_failed"]
    assert Path(truncated["slide"]).name == "test_001.tif"
    assert "cannot be opened as a slide" in truncated["reason"]
    assert Path(damaged["slide"]).name == "test_003.tif"
    assert "test_003.tif: the tiles at level 0 (row, col) " in damaged["reason"]
    assert f"cannot be decoded by {backend}" in damaged["reason"]
    assert "copy the slide again from its source" in damaged["reason"]
    prob_map = np.load(tmp_path / "maps" / "test_002.npy")
    assert prob_map.shape == (3, 4)
    assert prob_map.max() > 0


def test_damage_that_a_worker_finds_is_reported_alike(infer: Command, slides: Path, tmp_path: Path) -> None:
    damage_tile(slides / "test_001.tif", SHAPE[0] // 2, SHAPE[1] // 2)
    outcome = infer(slides=slides, num_workers=1)
    assert_fails(outcome, "1 of 3 slides failed", "test_001.tif: the tiles at level 0 ", "cannot be decoded by ")
    assert names(tmp_path / "maps", "*.npy") == ["test_002.npy", "test_003.npy"]


@pytest.mark.cucim
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_slide_that_ends_its_reader_is_set_aside(
    infer: Command, slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    """cuCIM writes beyond its memory where a tile is larger than the TIFF says, if it is not kept from such a tile."""
    monkeypatch.setattr(CucimPixels, "_check_frame", lambda *_: None)
    cols = -(-SHAPE[1] // 256)
    with tifffile.TiffFile(slides / "test_001.tif") as tiff:
        num_tiles = len(tiff.pages[0].dataoffsets)
    for tile in range(cols, num_tiles):
        change_frame(slides / "test_001.tif", tile, height=4170)
    outcome = infer(slides=slides, num_workers=num_workers, backend="cucim")
    assert_fails(
        outcome, "1 of 3 slides failed, the others are done", "test_001.tif: the process that read it ended by "
    )
    assert names(tmp_path / "maps", "*.npy") == ["test_002.npy", "test_003.npy"]
    record = json.loads((tmp_path / "maps" / "run.json").read_text())
    assert [Path(failed["slide"]).name for failed in record["slides_failed"]] == ["test_001.tif"]


@pytest.mark.cucim
def test_a_tile_that_lies_about_its_size_is_damage(infer: Command, slides: Path, tmp_path: Path) -> None:
    cols = -(-SHAPE[1] // 256)
    change_frame(slides / "test_001.tif", SHAPE[0] // 512 * cols + cols // 2, height=417)
    outcome = infer(slides=slides)
    assert_fails(outcome, "1 of 3 slides failed", "test_001.tif: the tiles at level 0 ", "has 417 x 256 pixels")
    assert names(tmp_path / "maps", "*.npy") == ["test_002.npy", "test_003.npy"]


@pytest.mark.parametrize("backend", [pytest.param("cucim", marks=pytest.mark.cucim), "openslide"])
def test_damage_in_the_overview_is_found_by_foreground(
    tumor_detection: Command, slides: Path, tmp_path: Path, backend: str
) -> None:
    damage_tile(slides / "test_002.tif", 40, 60, level=2)
    arguments = ("--slides", slides, "--output", "masks", "--stride", 64, "--backend", backend)
    outcome = tumor_detection("foreground", *arguments)
    assert_fails(outcome, "1 of 3 slides failed, the others are done; first: ", "test_002.tif: the tiles at level 2 ")
    assert names(tmp_path / "masks", "*[0-9].png") == ["test_001.png", "test_003.png"]


def test_training_stops_at_a_damaged_tile(
    tumor_detection: Command, cohort: Cohort, loclabels: Loclabels, tmp_path: Path
) -> None:
    folder = tmp_path / "training"
    shutil.copytree(cohort.training[0].parent, folder)
    with tifffile.TiffFile(folder / "tumor_001.tif") as tiff:
        height, width = tiff.pages[0].shape[:2]
    for row in range(0, height, 256):
        for col in range(0, width, 256):
            damage_tile(folder / "tumor_001.tif", row, col)
    outcome = tumor_detection(
        *("train", "--dataset_dir", folder, "--epochs", 1, "--num_workers", 0, "--output_dir", "run"),
        *("--training_file", loclabels.training, "--validation_file", loclabels.validation, "--batch_size", 2),
    )
    assert_fails(outcome, "tumor_001.tif: the tiles at level 0 ", "cannot be decoded by ", "copy the slide again")


def test_doctor_counts_failing_slides(tumor_detection: Command, slides: Path) -> None:
    truncate(slides / "test_002.tif")
    outcome = tumor_detection("doctor", "--slides", slides)
    assert_fails(outcome, "1 ", "cannot be read; see above")
    assert outcome.out.count("model gets  level 0 as it is") == 2
    assert f"{slides / 'test_002.tif'}\n  FAILS       " in outcome.out


def test_a_slide_without_a_resolution_needs_it_named(infer: Command, tmp_path: Path) -> None:
    path = write_flat(tmp_path / "plain.tif", mpp=None)
    outcome = infer(slides=path)
    assert_fails(outcome, "plain.tif: the file states no resolution; ", "µm per level-0 pixel with --assume_mpp")
    assert not names(tmp_path / "maps", "*.npy")
    assert infer(slides=path, assume_mpp=0.243).status == 0
    assert names(tmp_path / "maps", "*.npy") == ["plain.npy"]


def test_slides_with_numbers_for_names(infer: Command, tumor_detection: Command, tmp_path: Path) -> None:
    write_flat(tmp_path / "1" / "001.tif")
    write_flat(tmp_path / "1" / "2.tif", shape=(1601, 2203))
    assert tumor_detection("foreground", "--slides", "1", "--output", "64", "--stride", STRIDE).status == 0
    assert infer(slides="1", foreground_dir="64", output_dir="7").status == 0
    assert names(tmp_path / "7", "*.npy") == ["001.npy", "2.npy"]
    (tmp_path / "truth").mkdir()
    truth = np.zeros((101, 138), dtype=np.uint8)
    truth[10:90, 20:110] = 255  # 311 µm and more at stride 16: no isolated tumor cells
    Image.fromarray(truth).save(tmp_path / "truth" / "2.png")
    command = ("froc", "--maps", "7", "--truth", "truth", "--output", "5")
    assert_fails(tumor_detection(*command), "no truth for 1 of 2 maps: 001; ", "--normal NAME,NAME")
    assert_fails(tumor_detection(*command, "--normal", "1"), "normal: 1 name is of no map: 1; ")
    assert tumor_detection(*command, "--normal", "001").status == 0
    assert json.loads((tmp_path / "5" / "froc.json").read_text())["num_slides"] == 2


# --- masks, weights and values ------------------------------------------------------------------------------------


def test_masks_for_another_stride_or_slide_are_refused(
    tumor_detection: Command, infer: Command, cohort: Cohort, tmp_path: Path
) -> None:
    path = cohort.testing[0]
    assert tumor_detection("foreground", "--slides", path, "--output", "masks", "--stride", 256).status == 0
    outcome = infer(slides=path, foreground_dir="masks")
    assert_fails(outcome, "masks/test_001.png: ", "(3, 4) for stride 512, ", "(5, 7)", "--stride 512")
    outcome = infer(slides=cohort.testing, foreground_dir="masks", stride=256)
    assert outcome.status == 1


def test_one_missing_mask_does_not_stop_the_others(
    tumor_detection: Command, infer: Command, cohort: Cohort, tmp_path: Path
) -> None:
    arguments = ("--slides", cohort.testing[1], "--output", "masks", "--stride", STRIDE)
    assert tumor_detection("foreground", *arguments).status == 0
    outcome = infer("--slides", *cohort.testing, foreground_dir="masks")
    assert_fails(outcome, "1 of 2 slides failed", "masks/test_001.png: no such foreground mask; ", "foreground")
    assert names(tmp_path / "maps", "*.npy") == ["test_002.npy"]
    assert_fails(infer(slides=cohort.testing[0], foreground_dir="nope"), "foreground_dir nope: no such folder")


def test_weights_that_do_not_fit_are_refused(infer: Command, cohort: Cohort, weights: Path, tmp_path: Path) -> None:
    import torch

    state = torch.load(weights, weights_only=True)
    renamed = {f"module.{name}": value for name, value in state.items()}
    name = next(iter(state))
    torch.save(renamed, tmp_path / "renamed.pt")
    torch.save({**state, name: state[name][:, :1]}, tmp_path / "shape.pt")
    torch.save({"network": state, "epoch": 3}, tmp_path / "last.pt")
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "cut.pt").write_bytes(weights.read_bytes()[:100_000])
    for file, *parts in (
        ("nope.pt", "no such file of weights", "give another path or train first"),
        ("renamed.pt", "weights of another network", "names differ, as 'fc.bias'", "network_def"),
        ("shape.pt", f"'{name}' must have shape", "network_def"),
        ("last.pt", "expected a plain state dict", "not its last.pt"),
        ("text.pt", "not a file of weights"),
        ("cut.pt", "not a file of weights"),
        (".", "not a file of weights"),
    ):
        assert_fails(infer(slides=cohort.testing[0], weights=file), f"{file}: ", *parts)
    assert not names(tmp_path / "maps", "*.npy")


@pytest.mark.parametrize("stride", ["0", "-64"])
def test_a_stride_that_is_not_positive_is_refused(
    tumor_detection: Command, infer: Command, cohort: Cohort, tmp_path: Path, stride: str
) -> None:
    path, annotations = cohort.testing[0], cohort.annotations_dir
    message = f"stride must be a positive integer of level-0 pixels, but got {stride}"
    assert_fails(
        infer(slides=path, stride=stride), f"stride: expected a whole number of pixels from 1 to 10000, found {stride}"
    )
    assert_fails(tumor_detection("foreground", "--slides", path, "--output", "o", "--stride", stride), message)
    given = ("--annotations", annotations, "--slides", path, "--output", "o", "--stride", stride)
    assert_fails(tumor_detection("groundtruth", *given), message)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("stride", "64.5", "stride: expected a whole number of pixels from 1 to 10000, found 64.5"),
        ("stride", "true", "stride: expected a whole number of pixels from 1 to 10000, found True"),
        ("precision", "half", "precision must be one of auto, float32, bfloat16, int8, but got 'half'"),
        ("backend", "tifffile", "backend must be one of auto, cucim, openslide, but got 'tifffile'"),
        ("assume_mpp", "-1", "assume_mpp must be a number of µm per pixel from 0.01 to 100, but got"),
        ("assume_mpp", "fine", "assume_mpp: expected a number up to 1e12 or null, found 'fine'"),
        ("mpp", "1e308", "mpp: expected a number up to 1e12, found 1e+308"),
        ("mpp", "1e6", "mpp must be a number of µm per pixel from 0.01 to 100, but got 1000000.0"),
        ("patch_size", "{}", "patch_size: expected a whole number"),
        (
            "weights",
            "MODELS/model_10x.pt",
            "model_10x.pt: trained at 0.972 µm per pixel on patches of 96 px, but this run",
        ),
        ("mpp", "0", "mpp must be a number of µm per pixel from 0.01 to 100, but got 0"),
        ("batch_size", "0", "batch_size: expected a whole number from 1"),
    ],
)
def test_values_of_inference_are_refused(
    infer: Command, cohort: Cohort, tmp_path: Path, flag: str, value: str, message: str
) -> None:
    value = value.replace("MODELS", str(SCRIPTS.parent / "models"))
    outcome = infer(slides=cohort.testing[0], **{flag: value})
    assert_fails(outcome, message)
    assert "slides failed" not in outcome.error
    assert not (tmp_path / "maps" / "run.json").exists()


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("saturation", "1.5", "saturation must be from 0 to 1"),
        ("min_saturation", "-0.1", "min_saturation must be from 0 to 1"),
        ("min_value", "7", "min_value must be from 0 to 1"),
        ("max_hole_um2", "-3", "max_hole_um2 must not be negative"),
        ("min_tissue_um2", "-3", "min_tissue_um2 must not be negative"),
        ("backend", "tifffile", "backend must be one of"),
    ],
)
def test_values_of_foreground_are_refused(
    tumor_detection: Command, cohort: Cohort, tmp_path: Path, flag: str, value: str, message: str
) -> None:
    outcome = tumor_detection("foreground", "--slides", cohort.testing[0], "--output", "o", f"--{flag}", value)
    assert_fails(outcome, message)
    assert "slides failed" not in outcome.error


# --- annotations --------------------------------------------------------------------------------------------------


def write_polygon(path: Path, vertices_xy: list[list[float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".geojson":
        feature = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [vertices_xy]},
            "properties": {"name": "odd", "classification": {"name": "Tumor"}},
        }
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    else:
        path.write_text(json.dumps({"positive": [{"name": "odd", "vertices": vertices_xy}], "negative": []}))


BOWTIE = [[100, 100], [700, 400], [700, 100], [100, 400]]
"""Two triangles that meet at (x, y) = (400, 250): left and right of it are inside, above and below are not."""


@pytest.mark.parametrize(
    ("suffix", "vertices_xy", "warning", "inside_xy", "outside_xy"),
    [
        (".geojson", BOWTIE[:3], "unclosed GeoJSON rings", (600, 200), (200, 300)),
        (".json", BOWTIE, "self-crossing outlines", (200, 250), (400, 150)),
    ],
)
def test_defective_polygons_are_read_by_rule_with_a_warning(
    tumor_detection: Command,
    tmp_path: Path,
    suffix: str,
    vertices_xy: list[list[float]],
    warning: str,
    inside_xy: tuple[int, int],
    outside_xy: tuple[int, int],
) -> None:
    path = write_flat(tmp_path / "slides" / "a.tif")
    write_polygon(tmp_path / "annotations" / f"a{suffix}", vertices_xy)
    given = ("--annotations", "annotations", "--slides", path, "--output", "truth", "--stride", 16)
    outcome = tumor_detection("groundtruth", *given)
    assert outcome.status == 0
    (line,) = (line for line in outcome.err.splitlines() if "WARNING: " in line)
    assert f"WARNING: annotations/a{suffix}: {warning}" in line
    assert "1, first 'odd'" in line
    mask = np.asarray(Image.open(tmp_path / "truth" / "a.png"))
    assert mask[inside_xy[1] // 16, inside_xy[0] // 16] == 255
    assert mask[outside_xy[1] // 16, outside_xy[0] // 16] == 0


@pytest.mark.parametrize(
    ("file", "content", "parts"),
    [
        (
            "a.json",
            '{"positive": [{"name": "odd", "vertices": [[1, 2',
            ["a.json: not a readable JSON file", "write it"],
        ),
        ("a.xml", "<ASAP_Annotations><Annot", ["a.xml: not a readable XML file", "save it again with ASAP"]),
        ("a.json", '{"positive": [{"name": "odd", "vertices": [[1, NaN], [3, 4], [5, 6]]}]}', ["a.json: ", "'odd'"]),
        (
            "a.json",
            '{"positive": [{"name": "odd", "vertices": [[9001, 9002], [9003, 9004], [9001, 9005]]}]}',
            ["'odd'"],
        ),
        ("a.json", "[]", None),
        ("b.json", '{"positive": []}', ["slides/a.tif: no annotation named 'a' in annotations", "add its annotation"]),
        ("b.txt", "", ["annotations: no annotations found; expected files ending in .json .xml .geojson"]),
    ],
)
def test_annotations_that_cannot_be_read(
    tumor_detection: Command, tmp_path: Path, file: str, content: str, parts: list[str] | None
) -> None:
    write_flat(tmp_path / "slides" / "a.tif")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / file).write_text(content)
    given = ("--annotations", "annotations", "--slides", "slides", "--output", "truth")
    outcome = tumor_detection("groundtruth", *given)
    if parts is None:  # GeoJSON without features: annotated as normal
        assert outcome.status == 0
    else:
        assert_fails(outcome, *parts)
        assert not names(tmp_path / "truth", "*.png")


# --- coordinates and labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (["slide,x,y", "tumor_001,900,800"], ["line 1: expected a slide name", "found slide,x,y; remove the header"]),
        (["tumor_001,900,800", "", "tumor_001,900,801"], ["line 2: is blank; remove it"]),
        (["tumor_001,900,800", "tumor_001,900"], ["line 2: expected 3 columns (slide,x,y), found 2; mend it"]),
        (["tumor_001,900.5,800"], ["line 1: expected", "whole level-0 pixels", "found tumor_001,900.5,800; mend"]),
        (["tumor_001,-900,800"], ["line 1: expected", "not negative", "found tumor_001,-900,800; mend"]),
        ([], ["is empty; expected lines of slide,x,y"]),
        (
            ["001,900,800"],
            ["1 of 1 slide has no annotation in ", "no name of a normal slide: 001; add the "],
        ),
        (["tumor_001,900,800", "tumor_009,1,2"], ["1 of 2 slides has no annotation in ", "slide: tumor_009; "]),
    ],
)
def test_coordinates_that_are_refused(
    tumor_detection: Command, cohort: Cohort, tmp_path: Path, lines: list[str], parts: list[str]
) -> None:
    (tmp_path / "coords.txt").write_text("".join(f"{line}\n" for line in lines))
    arguments = ("--coords", "coords.txt", "--annotations", cohort.annotations_dir, "--output", "labels.csv")
    assert_fails(tumor_detection("loclabel", *arguments), "coords.txt", *parts)
    assert not (tmp_path / "labels.csv").exists()


def test_whole_numbers_may_have_a_point_and_the_file_end_blank(
    tumor_detection: Command, cohort: Cohort, tmp_path: Path
) -> None:
    (tmp_path / "coords.txt").write_text("tumor_001,900.0,800\n\n\n")
    arguments = ("--coords", "coords.txt", "--annotations", cohort.annotations_dir, "--output", "labels.csv")
    assert tumor_detection("loclabel", *arguments).status == 0
    assert (tmp_path / "labels.csv").read_text().startswith("tumor_001,900,800,")


def test_coordinates_outside_their_slide_are_refused(tumor_detection: Command, cohort: Cohort, tmp_path: Path) -> None:
    height, width = SHAPE
    folder = cohort.training[0].parent
    arguments = ("--coords", "coords.txt", "--annotations", cohort.annotations_dir, "--output", "labels.csv")
    (tmp_path / "coords.txt").write_text(f"tumor_001,900,800\ntumor_001,900,{height}\nnormal_001,{width},3\n")
    outcome = tumor_detection("loclabel", *arguments, "--slides", folder)
    parts = (
        "centers outside their slides: ",
        f"tumor_001 (1, first in line 2, slide {width} x {height})",
        "normal_001 (1, ",
    )
    assert_fails(outcome, "coords.txt: ", *parts)
    (tmp_path / "coords.txt").write_text(f"tumor_001,900,{height - 1}\nnormal_001,{width - 1},3\n")
    assert tumor_detection("loclabel", *arguments, "--slides", folder).status == 0


def test_numeric_names_stay_as_they_are(tumor_detection: Command, tmp_path: Path) -> None:
    write_polygon(tmp_path / "annotations" / "001.json", [[0, 0], [2000, 0], [2000, 900], [0, 900]])
    (tmp_path / "coords.txt").write_text("001,1000,500\n")
    arguments = ("--coords", "coords.txt", "--annotations", "annotations", "--output", "2024")
    assert tumor_detection("loclabel", *arguments).status == 0
    assert (tmp_path / "2024").read_text() == "001,1000,500,1,1,1,1,1,1,1,1,1\n"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("tumor_001,900,800,1,1", ["line 1: expected 12 columns", "found 5; mend it"]),
        ("tumor_001,900,800,1,1,1,1,2,1,1,1,1", ["line 1: labels must be 0 or 1, found ", "mend it"]),
        ("tumor_007,900,800,1,1,1,1,1,1,1,1,1", ["1 of 1 slide is nowhere below ", "tumor_007; add them or"]),
    ],
)
def test_training_refuses_labels(
    tumor_detection: Command, cohort: Cohort, loclabels: Loclabels, tmp_path: Path, line: str, parts: list[str]
) -> None:
    (tmp_path / "bad.csv").write_text(f"{line}\n")
    outcome = tumor_detection(
        *("train", "--dataset_dir", cohort.training[0].parent, "--training_file", "bad.csv"),
        *("--validation_file", loclabels.validation, "--output_dir", "run"),
    )
    assert_fails(outcome, "bad.csv", *parts)


def test_training_names_missing_files(tumor_detection: Command, cohort: Cohort, loclabels: Loclabels) -> None:
    labels = ("--training_file", loclabels.training, "--validation_file", loclabels.validation)
    assert_fails(tumor_detection("train", "--dataset_dir", "nope", *labels), "nope: no such folder")
    outcome = tumor_detection("train", "--dataset_dir", cohort.training[0].parent, "--training_file", "nope.csv")
    assert_fails(outcome, "nope.csv: no such file")


# --- outputs ------------------------------------------------------------------------------------------------------


def test_outputs_that_cannot_be_written(
    tumor_detection: Command, infer: Command, cohort: Cohort, loclabels: Loclabels, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")  # rights do not stop root
    output, path, annotations = "file/sub", cohort.testing[0], cohort.annotations_dir
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps" / "test_001.npy", np.zeros((3, 4), dtype=np.float32))
    sidecar = {"slide": "test_001.tif", "shape": list(SHAPE), "stride": STRIDE, "mpp": 0.243}
    (tmp_path / "maps" / "test_001.json").write_text(json.dumps(sidecar))
    training = ("--dataset_dir", cohort.training[0].parent, "--training_file", loclabels.training)
    for outcome in (
        tumor_detection("foreground", "--slides", path, "--output", output),
        tumor_detection("groundtruth", "--annotations", annotations, "--slides", path, "--output", output),
        tumor_detection("froc", "--maps", "maps", "--truth", annotations, "--output", output),
        tumor_detection("demo", "--output", output),
        tumor_detection("train", *training, "--validation_file", loclabels.validation, "--output_dir", output),
        infer(slides=path, output_dir=output),
    ):
        assert_fails(outcome, "file/sub: cannot be written (Not a directory); choose another output folder")
    arguments = ("--coords", cohort.train_coords, "--annotations", annotations, "--output", "file/sub/labels.csv")
    assert_fails(tumor_detection("loclabel", *arguments), "file/sub: cannot be written (Not a directory)")
    assert (tmp_path / "file").read_text() == "a file where a folder should be"


def test_earlier_results_survive_a_failing_run(infer: Command, slides: Path, tmp_path: Path) -> None:
    assert infer(slides=slides / "test_002.tif").status == 0
    before = (tmp_path / "maps" / "test_002.npy").read_bytes()
    (slides / "test_002.tif").unlink()
    for name in ("test_001.tif", "test_003.tif"):
        truncate(slides / name)
    assert_fails(infer(slides=slides), "2 of 2 slides failed")
    assert (tmp_path / "maps" / "test_002.npy").read_bytes() == before


# --- whole processes ----------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """The environment with the installed command first on the path."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def test_the_installed_command_reports_in_one_line(slides: Path, weights: Path, tmp_path: Path) -> None:
    damage_tile(slides / "test_001.tif", SHAPE[0] // 2, SHAPE[1] // 2)
    command = ["tumor-detection", "infer", "--slides", slides, "--weights", weights, "--stride", "512"]
    command += ["--mode", "sliding"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert_fails(Outcome(done.returncode, done.stdout, done.stderr), "1 of 3 slides failed", "test_001.tif: ")
    assert names(tmp_path / "maps", "*.npy") == ["test_002.npy", "test_003.npy"]
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1


def run_script(name: str, tmp_path: Path, *arguments: object, **variables: str) -> Outcome:
    done = subprocess.run(
        [SCRIPTS / name, *map(str, arguments)],
        cwd=tmp_path,
        env=environment() | variables,
        capture_output=True,
        text=True,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_the_label_script_runs(cohort: Cohort, loclabels: Loclabels, tmp_path: Path) -> None:
    outcome = run_script("0_train_loclabel_gen.sh", tmp_path, cohort.train_coords, cohort.annotations_dir, "o.csv")
    assert outcome.status == 0, outcome
    assert (tmp_path / "o.csv").read_bytes() == loclabels.training.read_bytes()
    outcome = run_script("0_train_loclabel_gen.sh", tmp_path, "nope.txt", cohort.annotations_dir, "o.csv")
    assert_fails(outcome, "nope.txt: no such file")


@pytest.mark.parametrize(
    ("arguments", "variables", "expected"),
    [
        (["a.tif", "b b", "--stride", 512], {}, "--slides a.tif b b --output foreground --stride 512"),
        (["--slides", "d", "--output", "o", "--stride=512"], {}, "--slides d --output o --stride=512"),
        (["--stride", 512], {"SLIDES": "d d", "OUTPUT": "o"}, "--slides d d --output o --stride 512"),
        (["a.tif", "--output=p"], {"SLIDES": "d", "OUTPUT": "o"}, "--slides a.tif --output=p"),
    ],
)
def test_what_the_mask_script_hands_on(
    tmp_path: Path, arguments: list[object], variables: dict[str, str], expected: str
) -> None:
    stand_in = tmp_path / "tumor-detection"
    stand_in.write_text('#!/bin/sh\necho "$@"\n')
    stand_in.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    outcome = run_script("1_test_foreground_mask.sh", tmp_path, *arguments, **variables, PATH=path)
    assert (outcome.status, outcome.out) == (0, f"foreground {expected}\n"), outcome


def test_the_mask_script_runs(cohort: Cohort, tmp_path: Path) -> None:
    script = "1_test_foreground_mask.sh"
    assert run_script(script, tmp_path, *cohort.testing, "--stride", STRIDE, OUTPUT="masks").status == 0
    assert names(tmp_path / "masks", "*[0-9].png") == ["test_001.png", "test_002.png"]
    assert_fails(run_script(script, tmp_path, "nope.tif"), "nope.tif: no such file or folder")


def test_the_mask_script_says_how_it_is_used(tmp_path: Path) -> None:
    script = "1_test_foreground_mask.sh"
    wanted = run_script(script, tmp_path, "--help")
    assert wanted.status == 0
    assert wanted.out.startswith("Write foreground masks of slides")
    for outcome in (run_script(script, tmp_path), run_script(script, tmp_path, "--stride", "64")):
        assert (outcome.status, outcome.out, outcome.err) == (2, "", wanted.out)
