"""A slide that ends the process that decodes it: commands name it and do the others."""

from __future__ import annotations

import faulthandler
import html
import json
import multiprocessing
import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from monai.data import DataLoader

from helpers.made_maps import write_map_of
from scripts.challenge import checking, costs, probe, verification
from scripts.challenge.layout import Layout
from scripts.cli import doctor
from scripts.errors import FilesFailedError, InputError
from scripts.exports.export import export_maps
from scripts.labels import loclabel, sampling, survey
from scripts.labels.loclabel import generate_loclabels
from scripts.labels.sampling import SampleSettings, sample_regions
from scripts.masks import foreground_folder, groundtruth
from scripts.report import slide_views
from scripts.report.report import PAGE, write_report
from scripts.slides import pool, slide
from scripts.slides.pyramid import write_pyramid
from scripts.slides.readers import lost_reader, start_reader
from scripts.slides.slide import open_slide
from scripts.training.patches import PatchWSIDataset

SHAPE = 601, 903
REASON = "b.tif: the process that read it ended by SIGSEGV; the file is damaged: copy the slide again from its source"


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    image = np.full((*SHAPE, 3), 235, dtype=np.uint8)
    image[100:400, 200:700] = 190, 100, 170
    for name in "abc":
        write_pyramid(folder / f"{name}.tif", image, 0.5)
    return folder


def _open_or_die(path: Path, *arguments: Any, **named: Any) -> Any:
    if Path(path).name == "b.tif":
        faulthandler.disable()  # pytest's, which is lengthy
        os.kill(os.getpid(), signal.SIGSEGV)
    return open_slide(path, *arguments, **named)


def test_foreground(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground_folder, "open_slide", _open_or_die)
    with pytest.raises(FilesFailedError, match="1 of 3 slides failed, the others are done") as failed:
        foreground_folder.write_foregrounds(slides, tmp_path / "masks", 16)
    assert failed.value.reasons == {str(slides / "b.tif"): f"{slides}/{REASON}"}
    assert {path.stem for path in (tmp_path / "masks").glob("*.json")} == {"a", "c"}


def test_groundtruth(outlined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide, "open_slide", _open_or_die)
    with pytest.raises(InputError, match="1 of 3 slides failed, the others are done") as failed:
        groundtruth.write_groundtruth(tmp_path / "truth", outlined, tmp_path / "masks", 16)
    assert f"{outlined}/{REASON}" in str(failed.value)
    assert {path.stem for path in (tmp_path / "masks").glob("*.png")} == {"a", "c"}


def test_export(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "maps").mkdir()
    for name in "abc":
        write_map_of(tmp_path / "maps", name, np.full((38, 57), 0.3, dtype=np.float32), SHAPE, 16, 0.5)
    monkeypatch.setattr(slide, "open_slide", _open_or_die)
    with pytest.raises(InputError, match="1 of 3 maps failed, the others are done") as failed:
        export_maps(tmp_path / "maps", tmp_path / "out", "geojson", slides=[slides])
    assert f"{slides}/{REASON}" in str(failed.value)
    assert {path.stem for path in (tmp_path / "out" / "geojson").iterdir()} == {"a", "c"}


def test_a_slide_that_the_challenge_looks_at(slides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of processes; the stages go on as after any slide that does not open."""
    for module in (checking, costs, probe):
        monkeypatch.setattr(module, "open_slide", _open_or_die)
    layout = SimpleNamespace(root=slides)
    members = [SimpleNamespace(name=name, path=f"{name}.tif", part="test") for name in "abc"]
    measured = costs.Probe(layout, members, stride=16)  # type: ignore[arg-type]
    assert measured.shapes == {"a": SHAPE, "c": SHAPE}
    assert 0 < measured.overview.density < 1 / 16**2


def test_report(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "maps").mkdir()
    for name in "abc":
        write_map_of(tmp_path / "maps", name, np.full((38, 57), 0.3, dtype=np.float32), SHAPE, 16, 0.5)
    monkeypatch.setattr(slide_views, "open_slide", _open_or_die)
    write_report(tmp_path / "maps", tmp_path / "report", slides=[slides])
    page = html.unescape((tmp_path / "report" / PAGE).read_text(encoding="utf-8"))
    assert page.count("The slide cannot be shown: ") == 1
    assert REASON in page


def test_doctor(slides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "open_slide", _open_or_die)
    report, failures = doctor.doctor([str(slides)])
    assert failures == 1
    assert f"\n{slides}/b.tif\n  FAILS       {slides}/{REASON}" in report
    assert f"\n{slides}/c.tif\n  format " in report


@pytest.fixture
def outlined(slides: Path) -> Path:
    ring = [[200, 100], [700, 100], [700, 400], [200, 400]]
    (slides.parent / "truth").mkdir()
    for name in "abc":
        (slides.parent / "truth" / f"{name}.json").write_text(
            json.dumps({"positive": [{"name": "t", "vertices": ring}], "negative": []})
        )
    return slides


def test_sample(outlined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "open_slide", _open_or_die)
    with pytest.raises(InputError, match="1 of 3 slides failed, nothing is written") as failed:
        sample_regions(outlined, tmp_path / "truth", tmp_path / "out.csv", SampleSettings(5, 5))
    assert f"{outlined}/{REASON}" in str(failed.value)


def test_loclabel(outlined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide, "open_slide", _open_or_die)
    (tmp_path / "coords.csv").write_text("a,300,200\nb,300,200\nc,300,200\n")
    with pytest.raises(InputError, match=re.escape(f"{outlined}/{REASON}")):
        generate_loclabels(tmp_path / "coords.csv", tmp_path / "truth", tmp_path / "out.csv", slides=outlined)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_the_readers_of_a_training(slides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "open_slide", _open_or_die)
    label = np.zeros((1, 3, 3), dtype=np.float32)
    data = [{"image": str(slides / f"{name}.tif"), "location": (250, 450), "label": label} for name in "abc"]
    loader = DataLoader(PatchWSIDataset(data, region_size=64), num_workers=1, worker_init_fn=start_reader)
    with pytest.raises(RuntimeError, match="DataLoader worker") as lost:
        list(loader)
    told = lost_reader(lost.value)
    assert told is not None
    how = r"(by a signal \(Segmentation fault\)|unexpectedly)"  # torch knows, or only notices
    assert re.match(rf"{re.escape(str(slides))}/b.tif: the process that read it ended {how}; ", str(told))
    assert "\n" not in str(told)
    unknown = lost_reader(RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed."))
    assert str(unknown).startswith("a process that reads for the network ended by a signal (Killed); memory is short")


def test_what_is_timed(slides: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """`doctor --probe` and `camelyon16 --plan` read as inference and training do."""
    for module in (pool, probe):
        monkeypatch.setattr(module, "open_slide", _open_or_die)
    assert probe.measure_speed(slides / "b.tif") is None
    assert f"{slides}/{REASON}" in caplog.text
    with pytest.raises(InputError, match=re.escape(f"{slides}/{REASON}")):
        probe.measure_region(slides / "b.tif", "auto")


def _interrupted(items: Iterable[Any], **settings: Any) -> Iterator[Any]:
    yield next(iter(items))
    raise KeyboardInterrupt


@pytest.mark.parametrize("command", ["foreground", "groundtruth", "sample", "loclabel", "verify"])
def test_no_reader_outlives_a_command_that_stops_early(
    outlined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    truth, settings = tmp_path / "truth", SampleSettings(5, 5)
    (tmp_path / "coords.csv").write_text("a,300,200\nb,300,200\n")
    (outlined / "annotations").symlink_to(truth)
    (outlined / "test_001.tif").symlink_to(outlined / "a.tif")
    layout = Layout(str(outlined), str(tmp_path / "out"), "shipped")
    module, run = {
        "foreground": (foreground_folder, lambda: foreground_folder.write_foregrounds(outlined, tmp_path / "out", 16)),
        "groundtruth": (groundtruth, lambda: groundtruth.write_groundtruth(truth, outlined, tmp_path / "out", 16)),
        "sample": (sampling, lambda: sample_regions(outlined, truth, tmp_path / "out.csv", settings, ["test_001"])),
        "loclabel": (
            loclabel,
            lambda: generate_loclabels(tmp_path / "coords.csv", truth, tmp_path / "out.csv", slides=outlined),
        ),
        "verify": (verification, lambda: verification.Verify(layout).run(False)),
    }[command]
    before = set(multiprocessing.active_children())
    monkeypatch.setattr(module, "tqdm", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert set(multiprocessing.active_children()) <= before
