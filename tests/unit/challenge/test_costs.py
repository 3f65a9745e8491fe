from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts.challenge import costs
from scripts.challenge.cohort import Member
from scripts.challenge.costs import Probe
from scripts.challenge.layout import Layout
from scripts.challenge.probe import Speed
from scripts.slides.pyramid import write_pyramid


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Six slides of 960 x 1280 px, some two thirds of each tissue, and one that does not open."""
    image = np.full((960, 1280, 3), 243, dtype=np.uint8)
    image[:800, :1000] = (190, 100, 170)
    members = [Member(f"test_{n:03d}", f"test_{n:03d}.tif", "test", False) for n in range(7)]
    for member in members[:6]:
        write_pyramid(tmp_path / member.path, image, 0.243, compression="zlib")
    (tmp_path / members[6].path).write_bytes(b"nothing")
    monkeypatch.setattr(costs, "measure_speed", lambda *arguments: Speed(0.5, 2, None))
    monkeypatch.setattr(costs, "measure_region", lambda *arguments: 0.25)
    return Probe(Layout(str(tmp_path), str(tmp_path / "out")), members, stride=32)


def test_inference_takes_as_long_as_there_is_tissue(probe: Probe) -> None:
    cost = probe.maps(probe.of("test"), {"stride": 32}, [])
    assert cost.num_bytes == 6 * 30 * 40 * 4
    assert cost.seconds == pytest.approx(6 * 25 * 31 * 0.5, rel=0.15)
    assert len(probe.sample) == 4
    assert probe.of("training") == []


def test_training_takes_as_long_as_there_are_regions(probe: Probe) -> None:
    assert probe.training(1000, {"epochs": 3}, [], 3).seconds == 750


def test_checksums_and_overviews_are_measured(probe: Probe) -> None:
    assert 0 < probe.seconds_per_byte < 1e-3
    assert probe.overviews(probe.members) == pytest.approx(7 * probe.overview.seconds)
    assert probe.num_bytes(probe.members[6:]) == 7


def test_without_a_slide_that_opens_nothing_is_measured(tmp_path: Path) -> None:
    nothing = Probe(Layout(str(tmp_path), str(tmp_path)), [])
    assert nothing.maps([], {}, []) == (None, 0)
    assert nothing.training(9, {}, [], 1).seconds is None
    assert nothing.overviews([]) == 0
