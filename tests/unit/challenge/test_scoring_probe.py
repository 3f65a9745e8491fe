from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scripts.challenge import scoring_probe
from scripts.challenge.judging import Froc
from scripts.challenge.layout import Layout
from scripts.challenge.learning import Mining
from scripts.challenge.scoring_probe import Growth, Made, Seen, measure_growth
from scripts.geometry import map_shape
from scripts.maps.files import read_map, read_map_infos

SHAPE, STRIDE = (9001, 12003), 64


@pytest.fixture
def slides(tmp_path: Path) -> list[Seen]:
    """Three slides of which the left half is tissue; only one has a file."""
    tissue = np.zeros(map_shape(SHAPE, STRIDE), dtype=np.bool_)
    tissue[:, : tissue.shape[1] // 2] = True
    (tmp_path / "normal_001.tif").touch()
    return [Seen(tmp_path / f"{name}.tif", SHAPE, 0.25, tissue) for name in ("normal_001", "tumor_002", "test_003")]


def test_the_start_is_told_from_what_each_slide_takes(slides: list[Seen], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)

    def work(made: Made) -> None:
        count = len(read_map_infos(made.maps))
        clock.now += 50 + 3 * count
        (made.output / "page.html").write_bytes(bytes(1000 + 20 * count))

    monkeypatch.setattr(scoring_probe, "time", SimpleNamespace(monotonic=lambda: clock.now))
    growth = measure_growth(work, slides, STRIDE)
    assert growth == (53, 3, 1020, 20)
    assert growth.seconds(129) == 50 + 3 * 129
    assert growth.num_bytes(129) == 1000 + 20 * 129
    assert growth.seconds(0) == growth.num_bytes(0) == 0
    assert measure_growth(work, slides[:1], STRIDE) == (53, 53, 1020, 1020), "no second slide to compare with"


def test_made_maps_are_of_the_slides_size_and_have_detections(slides: list[Seen]) -> None:
    seen: list[Made] = []

    def work(made: Made) -> None:
        seen.append(made)
        infos = read_map_infos(made.maps)
        Froc(Layout("root", "output"), num_resamples=0).judge(made)
        scores = json.loads((made.output / "froc.json").read_text())
        assert scores["num_lesions"] == scores["num_slides"] == len(infos)
        Mining(Layout("root", "output"))._mine(made.maps, made.truth, made.output, made.labels)
        if infos[0].name != "test_000":  # which is too small for more than a few
            for prob_map in map(read_map, infos):
                assert 0.005 < (prob_map > 0.5).mean() < 0.03
                assert not prob_map[:, prob_map.shape[1] // 2 :].any(), "it is no tissue"
            assert len((made.output / "training_2.csv").read_text().splitlines()) > 1

    measure_growth(work, slides, STRIDE)
    assert [[path.name for path in made.slides] for made in seen] == [[], ["normal_001.tif"], ["normal_001.tif"]]
    assert not any(made.output.exists() for made in seen), "nothing is left"


def test_nothing_is_warned_of_that_is_made(slides: list[Seen], caplog: pytest.LogCaptureFixture) -> None:
    def work(made: Made) -> None:
        logging.getLogger("scripts").warning("normal_001 has tumor")

    measure_growth(work, slides, STRIDE)
    assert not caplog.messages
    logging.getLogger("scripts").warning("heard again")
    assert caplog.messages == ["heard again"]


def test_slides_without_room_for_a_lesion_are_measured_too() -> None:
    small = Seen(Path("test_001.tif"), (300, 407), 0.25, np.ones(map_shape((300, 407), STRIDE), dtype=np.bool_))
    growth = measure_growth(Froc(Layout("root", "output"), num_resamples=0).judge, [small], STRIDE)
    assert growth.first > 0
    assert isinstance(growth, Growth)
