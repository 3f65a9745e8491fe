"""Inference in several processes, started by torchrun, gives the maps of one."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.torchrun import torchrun
from integration.conftest import Outcome
from scripts import bundle_root
from scripts.slides.pyramid import write_pyramid

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CONFIGS = Path(bundle_root()) / "configs"
TISSUE = {"a": (300, 350), "b": (900, 1500), "c": (150, 1100), "d": (600, 500), "e": (40, 60)}
"""(height, width) of each slide's tissue; the last has too little to count as tissue."""
Command = Callable[..., Outcome]


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Slides of unlike tissue."""
    rng = np.random.default_rng(5)
    folder = tmp_path / "slides"
    folder.mkdir()
    for name, (height, width) in TISSUE.items():
        image = np.full((height + 301, width + 477, 3), 240, dtype=np.uint8)
        stained = rng.normal((170, 80, 150), 25, (height // 8 + 1, width // 8 + 1, 3)).clip(0, 255).astype(np.uint8)
        image[97 : 97 + height, 213 : 213 + width] = stained.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
        write_pyramid(folder / f"{name}.tif", image, 0.243)
    return folder


@pytest.fixture
def settings(slides: Path, tmp_path: Path) -> dict[str, Any]:
    """A run with a small network."""
    torch.manual_seed(0)
    return {
        "network_def": {"_target_": "helpers.networks.TinyNetwork"},
        "weights": None,
        "slides": str(slides),
        "output_dir": str(tmp_path / "maps"),
        "mode": "sliding",
        "runtime": "torch",
        "precision": "float32",
        "tile_size": 512,
    }


def write_overlay(path: Path, settings: dict[str, Any], folder: Path | None = None, kill: int | None = None) -> Path:
    """An overlay of settings; with a folder, the slides that each process takes are noted there."""
    content = dict(settings)
    if folder is not None:
        folder.mkdir()
        note = {"_target_": "helpers.rank_events.NoteSlides", "folder": str(folder), "kill": kill}
        content["deadly"] = {"_target_": "helpers.rank_events.kill_readers"}
        content["+handlers"] = [note]
        content["+initialize"] = ["@deadly"]  # before there are readers
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def expected(tumor_detection: Command, settings: dict[str, Any], slides: Path, tmp_path: Path) -> dict[str, bytes]:
    """The maps of one process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as torchrun's processes: other numbers of threads may add up in another order
    overlay = write_overlay(tmp_path / "one.json", {**settings, "output_dir": str(tmp_path / "one")})
    outcome = tumor_detection("infer", "--config_file", overlay)
    torch.set_num_threads(before)
    assert outcome.status == 0, outcome.err
    assert run_of(tmp_path / "one")["processes"] == 1
    found = maps_of(tmp_path / "one")
    assert found.keys() == TISSUE.keys()
    assert np.load(tmp_path / "one" / "b.npy").any()
    assert not np.load(tmp_path / "one" / "e.npy").any()
    return found


def maps_of(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.glob("*.npy")}


def run_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def taken(folder: Path, attempt: int) -> list[list[str]]:
    """Slides that each process took, in order."""
    return [path.read_text().split() for path in sorted(folder.glob(f"{attempt}_*.txt"))]


def test_slides_are_shared_out_and_bad_ones_are_set_aside(
    expected: dict[str, bytes], settings: dict[str, Any], slides: Path, tmp_path: Path
) -> None:
    """One is cut off; another ends the process that reads it."""
    (slides / "bad.tif").write_bytes((slides / "b.tif").read_bytes()[:5000])
    shutil.copy(slides / "c.tif", slides / "deadly.tif")
    overlay = write_overlay(tmp_path / "two.json", settings, tmp_path / "noted")
    files = [str(CONFIGS / "inference.json"), str(overlay), str(CONFIGS / "multi_gpu_inference.json")]
    ended = torchrun(tmp_path, 2, "-m", "monai.bundle", "run", "inference", "--config_file", files)
    assert ended.status == 1
    assert "2 of 7 slides failed, the others are done" in ended.said
    assert "deadly.tif: the process that read it ended by SIGSEGV; the file is damaged" in ended.said
    assert maps_of(tmp_path / "maps") == expected
    run = run_of(tmp_path / "maps")
    assert run["processes"] == 2
    assert sorted(Path(slide["slide"]).stem for slide in run["slides_done"]) == list(TISSUE)
    assert sorted(Path(slide["slide"]).stem for slide in run["slides_failed"]) == ["bad", "deadly"]
    alone = run_of(tmp_path / "one")
    assert (run["tiles"], run["tissue_mm2"]) == (alone["tiles"], pytest.approx(alone["tissue_mm2"]))
    shares = taken(tmp_path / "noted", 0)
    assert len(shares) == 2
    assert sorted(name for share in shares for name in share) == sorted([*TISSUE, "bad", "deadly"]), "each once"
    assert "b" in (shares[0][0], shares[1][0]), "the largest first"


def test_what_a_killed_process_left_is_done_after_the_restart(
    tumor_detection: Command, expected: dict[str, bytes], settings: dict[str, Any], tmp_path: Path
) -> None:
    overlay = write_overlay(tmp_path / "two.json", settings, tmp_path / "noted", kill=1)
    words = ["--no-python", "tumor-detection", "infer", "--config_file", overlay, "multi_gpu_inference.json"]
    ended = torchrun(tmp_path, 2, *words, restarts=1)
    assert ended.status == 0, ended.said
    assert time.time() - float((tmp_path / "noted" / "failed_at").read_text()) < 300
    assert maps_of(tmp_path / "maps") == expected
    run = run_of(tmp_path / "maps")
    done = {Path(slide["slide"]).stem for slide in run["slides_done"]}
    skipped = {Path(slide).stem for slide in run["slides_skipped"]}
    assert done | skipped == TISSUE.keys()
    assert not done & skipped
    before, after = taken(tmp_path / "noted", 0), taken(tmp_path / "noted", 1)
    assert sorted(name for share in after for name in share) == sorted(done), "the rest, each once"
    assert before[1][0] in done, "what was lost"
    assert not set(before[0]) & set(before[1])

    plain = write_overlay(tmp_path / "plain.json", settings)
    outcome = tumor_detection("infer", "--config_file", plain)
    assert outcome.status == 0, outcome.err
    assert "5 of 5 slides are done already" in outcome.err
