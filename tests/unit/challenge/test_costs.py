from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scripts.challenge import costs, scoring_probe
from scripts.challenge.cohort import Member
from scripts.challenge.costs import Cost, Probe
from scripts.challenge.judging import Froc, Report
from scripts.challenge.layout import Layout
from scripts.challenge.learning import Mining
from scripts.challenge.probe import Speed
from scripts.challenge.steps import Step
from scripts.maps.files import read_map_infos
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
    assert nothing.maps([], {}, []) == Cost()
    assert nothing.training(9, {}, [], 1).seconds is None
    assert nothing.overviews([]) is None
    assert nothing.growth(lambda made: None) is None


def test_slides_that_are_to_come_are_like_those_that_are_there(probe: Probe) -> None:
    to_come = [Member(f"test_{n:03d}", f"test_{n:03d}.tif", "test", False) for n in range(7, 13)]
    more = Probe(probe.layout, [*probe.members, *to_come], stride=32, sizes={"test_007.tif": 900})
    there, all_slides = (found.maps(found.members, {"stride": 32}, []) for found in (probe, more))
    assert all_slides.seconds == pytest.approx(2 * there.seconds), "the seventh does not open"
    assert all_slides.num_bytes == 2 * there.num_bytes
    assert more.num_bytes(to_come) == 900
    assert more.maps(to_come, {"stride": 32}, []).seconds == pytest.approx(there.seconds)


@pytest.mark.parametrize("pace", [3.0, 7.0])
@pytest.mark.parametrize(
    ("stage", "does"),
    [
        (Froc, "judging.score_folder"),
        (Report, "judging.write_report"),
        (Mining, "learning.mine_hard_negatives"),
    ],
)
def test_what_judges_maps_takes_as_long_as_it_took_on_made_ones(
    probe: Probe, stage: type[Step], does: str, pace: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that moves by 11 for the start and by the pace for each map."""
    clock = SimpleNamespace(now=0.0)
    tried: list[list[str]] = []

    def work(maps: Path, *arguments: object, **settings: object) -> None:
        infos = read_map_infos(maps)
        tried.append([info.name for info in infos])
        clock.now += 11 + pace * len(infos)

    monkeypatch.setattr(scoring_probe, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(f"scripts.challenge.{does}", work)
    if stage is Mining:
        probe.members = [member._replace(part="training") for member in probe.members]
    cost = stage(probe.layout).cost(probe)
    assert cost.seconds == pytest.approx(11 + pace * 7)
    assert tried == [["test_000"], ["test_000"], ["test_000", "test_001"]]
