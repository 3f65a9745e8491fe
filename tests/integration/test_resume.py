"""Inference that is interrupted, repeated, or goes wrong: nothing computed is lost, nothing is left half-written."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.flat_slide import write_flat_slide
from helpers.forked_commands import Started
from integration.conftest import Outcome
from scripts import bundle_root
from scripts.inference.folder_results import ResultFolder
from scripts.slides.pyramid import write_pyramid
from scripts.synthetic.cohort import synthetic_slide

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Command = Callable[..., Outcome]
Flags = Callable[..., list[str]]
NAMES = [f"slide_{index}" for index in range(4)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A slide with tumor and one without, as small as can be drawn."""
    folder = tmp_path_factory.mktemp("drawn")
    paths = [folder / "tumor.tif", folder / "normal.tif"]
    for path, shape, num_lesions in zip(paths, ((667, 1009), (673, 1003)), (1, 0), strict=True):
        write_pyramid(path, synthetic_slide(shape, num_lesions, seed=3).image, 0.243)
    return paths


@pytest.fixture
def slides(drawn: list[Path], tmp_path: Path) -> Path:
    """Four slides, two of each kind."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for index, name in enumerate(NAMES):
        shutil.copy(drawn[index % 2], folder / f"{name}.tif")
    return folder


@pytest.fixture
def flags(slides: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a quick run with a small network, with changes."""
    write_overlay(tmp_path)
    usual = {"slides": slides, "config_file": tmp_path / "tiny.json", "output_dir": tmp_path / "maps", "stride": 128}
    usual |= {"num_workers": 0, "mode": "sliding", "runtime": "torch", "precision": "float32", "tile_size": 512}

    def make(**changes: object) -> list[str]:
        return ["infer", *(part for key, value in (usual | changes).items() for part in (f"--{key}", str(value)))]

    return make


def write_overlay(folder: Path, **more: object) -> None:
    content = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}, "weights": None, **more}
    (folder / "tiny.json").write_text(json.dumps(content))


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    return tmp_path / "maps"


class Held:
    """A run that waits at a slide's first tile; while it waits it can be killed, stopped or let go.

    Args:
        folder: of the test.
        name: the slide's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._file = folder / "hold"
        self._file.touch()
        write_overlay(
            folder, **{"+handlers": [{"_target_": "helpers.slide_log.Hold", "name": name, "file": str(self._file)}]}
        )

    def start(self, flags: list[str], command: str = "tumor-detection") -> Started:
        """Start it, and wait until it is there."""
        process = Started(words_of(flags, command), self.folder)
        while not self._file.with_suffix(".reached").exists():
            process.assert_runs()
            time.sleep(0.01)
        return process

    def let_go(self) -> None:
        """From now on nothing waits."""
        self._file.unlink()


def words_of(flags: list[str], command: str) -> list[str]:
    """The same with our command, and without it, as MONAI's users call it."""
    if command == "tumor-detection":
        return [command, *flags]
    given = dict(zip(flags[1::2], flags[2::2], strict=True))
    configs = [str(Path(bundle_root()) / "configs" / "inference.json"), given.pop("--config_file")]
    arguments = [part for item in given.items() for part in item]
    return [command, "run", "run", "--config_file", repr(configs), *arguments]


def summary(maps: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((maps / "run.json").read_text())
    return content


def stems(paths: list[str]) -> list[str]:
    return sorted(Path(path).stem for path in paths)


def done(maps: Path) -> list[str]:
    return stems([slide["slide"] for slide in summary(maps)["slides_done"]])


def states(maps: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in maps.glob("slide_*")}


def assert_whole(maps: Path, names: list[str]) -> None:
    """Each has a readable map and sidecar, and there is nothing else."""
    expected = {f"{name}{suffix}" for name in names for suffix in (".npy", ".json", "_artifacts.png")}
    expected |= {"run.json", ".lock"}
    assert {path.name for path in maps.iterdir()} == expected
    for name in names:
        prob_map = np.load(maps / f"{name}.npy")
        sidecar = json.loads((maps / f"{name}.json").read_text())
        assert list(prob_map.shape) == [-(-side // sidecar["stride"]) for side in sidecar["shape"]]


# --- a second run ----------------------------------------------------------------------------------------------------


def test_a_second_run_computes_nothing(tumor_detection: Command, flags: Flags, maps: Path) -> None:
    assert tumor_detection(*flags()).status == 0
    assert done(maps) == NAMES
    before = states(maps)
    outcome = tumor_detection(*flags())
    assert outcome.status == 0, outcome.err
    assert "4 of 4 slides are done already" in outcome.err
    assert (done(maps), stems(summary(maps)["slides_skipped"])) == ([], NAMES)
    assert states(maps) == before
    assert_whole(maps, NAMES)


def test_only_what_changed_is_computed_again(tumor_detection: Command, flags: Flags, slides: Path, maps: Path) -> None:
    assert tumor_detection(*flags()).status == 0
    shutil.copy(slides / "slide_0.tif", slides / "slide_1.tif")  # another slide of the same name
    (maps / "slide_2.npy").unlink()
    (maps / "slide_3.json").write_text("{")
    outcome = tumor_detection(*flags())
    assert outcome.status == 0, outcome.err
    assert done(maps) == ["slide_1", "slide_2", "slide_3"]
    for line in (
        "slide_1.tif: computed again: slide_",
        "slide_2.tif: computed again: its map is missing",
        "slide_3.tif",
    ):
        assert line in outcome.err
    assert_whole(maps, NAMES)
    np.testing.assert_array_equal(np.load(maps / "slide_1.npy"), np.load(maps / "slide_0.npy"))


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [("stride", "64", "stride was 128, is 64"), ("tta", "true", "tta was false, is true")],
)
def test_other_settings_compute_all_again(
    tumor_detection: Command, flags: Flags, maps: Path, flag: str, value: str, reason: str
) -> None:
    assert tumor_detection(*flags()).status == 0
    outcome = tumor_detection(*flags(**{flag: value}))
    assert outcome.status == 0, outcome.err
    assert outcome.err.count(reason) == 4
    assert done(maps) == NAMES


def test_failed_slides_are_tried_again_and_no_others(
    tumor_detection: Command, flags: Flags, slides: Path, maps: Path
) -> None:
    content = (slides / "slide_2.tif").read_bytes()
    (slides / "slide_2.tif").write_bytes(content[:5000])
    outcome = tumor_detection(*flags())
    assert outcome.status == 1
    assert "1 of 4 slides failed, the others are done" in outcome.error
    assert_whole(maps, [name for name in NAMES if name != "slide_2"])
    (slides / "slide_2.tif").write_bytes(content)
    assert tumor_detection(*flags()).status == 0
    assert done(maps) == ["slide_2"]
    assert_whole(maps, NAMES)


def test_a_slide_that_fails_keeps_its_map(tumor_detection: Command, flags: Flags, slides: Path, maps: Path) -> None:
    plain = write_flat_slide(slides / "slide_plain.tif", mpp=None)
    assert tumor_detection(*flags(slides=plain)).status == 1
    assert not list(maps.glob("slide_plain.*"))
    assert tumor_detection(*flags(slides=plain, assume_mpp=0.25)).status == 0
    before = states(maps)
    outcome = tumor_detection(*flags())
    assert outcome.status == 1
    assert "; the map that is there stays, it was made with --assume_mpp 0.25" in outcome.error
    assert_whole(maps, [*NAMES, "slide_plain"])
    assert states(maps).items() >= before.items()
    assert tumor_detection(*flags(slides=plain, assume_mpp=0.25)).status == 0
    assert done(maps) == []


# --- interruptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_done", [0, 1, 3])
def test_a_killed_run_loses_the_slide_in_progress_only(
    flags: Flags, maps: Path, tumor_detection: Command, num_done: int
) -> None:
    held = Held(maps.parent, NAMES[num_done])
    with held.start(flags(num_workers=1)) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert sorted(path.stem for path in maps.glob("slide_*.json")) == NAMES[:num_done]
    for name in NAMES[:num_done]:
        np.load(maps / f"{name}.npy")
    held.let_go()
    outcome = tumor_detection(*flags())
    assert outcome.status == 0, outcome.err
    assert stems(summary(maps)["slides_skipped"]) == NAMES[:num_done]
    assert done(maps) == NAMES[num_done:]
    assert [path.name for path in maps.iterdir() if path.name.startswith(".")] == [".lock"]


@pytest.mark.parametrize("command", ["tumor-detection", "monai.bundle"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_a_signal_stops_says_what_is_done(flags: Flags, maps: Path, number: int, command: str) -> None:
    reach = os.kill if number == signal.SIGINT else os.killpg  # the others reach the readers, too
    with Held(maps.parent, NAMES[1]).start(flags(num_workers=1), command) as process:
        reach(process.pid, number)
        assert process.wait() == 128 + number, process.said
    assert ("stopped; maps that are whole are kept" in process.said) == (command == "tumor-detection")
    assert done(maps) == NAMES[:1]
    assert summary(maps)["slides_failed"] == []
    assert_whole(maps, NAMES[:1])
    ResultFolder(maps).lock(seconds=0)


def test_two_runs_into_one_folder(flags: Flags, maps: Path, tumor_detection: Command) -> None:
    held = Held(maps.parent, NAMES[1])
    with held.start(flags()) as process:
        outcome = tumor_detection(*flags())
        held.let_go()
        assert process.wait() == 0, process.said
    assert outcome.status == 1
    assert "another run is writing there; wait for it, or choose another folder" in outcome.error
    assert done(maps) == NAMES


def limit() -> None:
    """No file may grow above 10 kB, which is less than a map at stride 16."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


def test_a_full_disk_keeps_what_is_done(flags: Flags, maps: Path, tumor_detection: Command) -> None:
    assert tumor_detection(*flags(slides=maps.parent / "slides" / "slide_0.tif")).status == 0
    with Started(["tumor-detection", *flags(stride=16)], maps.parent, limit) as process:
        assert process.wait() == 1
    error = process.said.splitlines()[-1]
    assert re.search(r"slide_0\.npy: cannot be written \(File too large\); check the folder's space and rights", error)
    assert [path.name for path in maps.iterdir() if path.name.startswith(".")] == [".lock"]
    assert summary(maps)["slides_done"] == []


def test_a_folder_that_cannot_be_written(flags: Flags, tumor_detection: Command, tmp_path: Path) -> None:
    outcome = tumor_detection(*flags(output_dir="/proc/maps"))
    assert outcome.status == 1
    assert outcome.error.startswith("error: /proc/maps: cannot be written")
    (tmp_path / "a_file").write_text("in the way")
    outcome = tumor_detection(*flags(output_dir=tmp_path / "a_file"))
    assert outcome.status == 1
    assert "a_file: cannot be written" in outcome.error


@pytest.mark.parametrize("loss", ["deleted", "truncated"])
def test_a_slide_that_vanishes_during_the_run(flags: Flags, slides: Path, maps: Path, loss: str) -> None:
    held = Held(maps.parent, NAMES[1])
    with held.start(flags()) as process:
        if loss == "deleted":
            (slides / "slide_3.tif").unlink()
        else:
            os.truncate(slides / "slide_3.tif", 20_000)
        held.let_go()
        assert process.wait() == 1
    assert "1 of 4 slides failed, the others are done" in process.said.splitlines()[-1]
    (failed,) = summary(maps)["slides_failed"]
    assert "slide_3.tif: " in failed["reason"]
    assert_whole(maps, NAMES[:3])
