"""benchmarks/gpu.py in a small form on a CPU, with tiles that go ahead and come together as on a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.ahead import feed_ahead

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


def test_it_says_what_bounds_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu
    from slides import Patches

    feed_ahead(monkeypatch)
    rng = np.random.default_rng(0)
    images = rng.integers((140, 60, 130), (210, 120, 190), (6, 256, 256, 3), dtype=np.uint8)
    is_tumor = np.array([False, True] * 3)
    monkeypatch.setattr(gpu, "read_patches", lambda folder: Patches(images, is_tumor))
    page = tmp_path / "page.md"
    page.write_text("<!-- begin gpu -->\n<!-- end gpu -->\n", encoding="utf-8")
    arguments = ["nowhere", "--device", "cpu", "--shape", "1700", "1900", "--tissue", "0.3", "--rounds", "0"]
    gpu.main([*arguments, "--repeats", "1", "--num_workers", "2", "--markdown", str(page)])
    text = page.read_text(encoding="utf-8")
    for row in (
        "the network alone, 3 tiles at a time",
        "the network alone, one tile at a time",
        "dense, end to end",
        "takes longest alone",
        "Gpx/s once started",
        "`batch_size` that `auto` chose",
    ):
        assert f"| {row} " in text
