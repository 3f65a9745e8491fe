from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.challenge.probe import available_gb, duration, measure_region, measure_speed
from scripts.slides.pyramid import write_pyramid


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.1, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5400, "1.5 h"), (90_000, "25.0 h")],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_memory_that_is_free() -> None:
    free = available_gb()
    assert free is None or free > 0


def test_a_probe_of_a_small_slide(tmp_path: Path) -> None:
    image = np.full((1301, 1603, 3), 243, dtype=np.uint8)
    image[300:900, 500:1200] = (190, 100, 170)
    write_pyramid(tmp_path / "a.tif", image, 0.243, compression="zlib")
    speed = measure_speed(tmp_path / "a.tif")
    assert speed is not None
    assert speed.seconds > 0
    assert speed.num_tiles == 1
    write_pyramid(tmp_path / "blank.tif", np.full((1301, 1603, 3), 243, dtype=np.uint8), 0.243, compression="zlib")
    assert measure_speed(tmp_path / "blank.tif") is None


def test_a_training_is_measured_on_a_slide_and_leaves_nothing(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1301, 1603, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "tumor_001.tif", image, 0.243, compression=None)
    (tmp_path / "tiny.json").write_text(json.dumps({"network_def": {"_target_": "helpers.networks.TinyNetwork"}}))
    before = sorted(tmp_path.rglob("*"))
    values = {"batch_size": 2, "num_workers": 0, "epochs": 30}
    assert measure_region(tmp_path / "tumor_001.tif", "auto", values, [str(tmp_path / "tiny.json")]) > 0
    assert sorted(tmp_path.rglob("*")) == before
