from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ignite.engine import Engine

from scripts.inference.timing import Timing, say_rates


def run(load_seconds: float, compute_seconds: float, write_seconds: float) -> Timing:
    """A run of four tiles that takes its time."""
    timing = Timing()

    def load() -> Iterator[int]:
        for index in range(4):
            time.sleep(load_seconds)
            yield index

    def step(engine: Engine, index: int) -> None:
        time.sleep(compute_seconds)
        timing.add("compute")
        time.sleep(write_seconds)
        timing.add("write")
        timing.num_tiles += 1
        timing.mm2 += 0.5

    engine = Engine(step)
    timing.attach(engine)
    engine.run(load(), epoch_length=4)
    return timing


@pytest.mark.parametrize(
    ("seconds", "expected"), [((0.05, 0, 0), "decode"), ((0, 0.05, 0), "compute"), ((0, 0, 0.05), "write")]
)
def test_what_took_most_bounds_the_run(seconds: tuple[float, float, float], expected: str) -> None:
    summary = run(*seconds).summary()
    assert summary["bound_by"] == expected
    assert summary["seconds_in"][expected] >= 0.2
    assert sum(summary["seconds_in"].values()) == pytest.approx(summary["seconds"], abs=0.05)


def test_rates_are_per_second() -> None:
    timing = run(0.02, 0.03, 0)
    summary = timing.summary()
    assert (summary["tiles"], summary["tissue_mm2"]) == (4, 2.0)
    assert summary["tiles_per_second"] == pytest.approx(4 / summary["seconds"], rel=0.01)
    assert summary["mm2_per_second"] == pytest.approx(2 / summary["seconds"], rel=0.01)
    assert timing.rates().endswith(" mm²/s")


def test_a_run_of_nothing_is_bound_by_nothing() -> None:
    assert Timing().summary()["bound_by"] is None


@pytest.mark.parametrize(
    ("tiles", "seconds", "expected"),
    [
        (20, 8.0, "2.5 tiles/s, 0.25 mm²/s"),
        (8, 8.0, "1.0 tiles/s, 0.25 mm²/s"),
        (1, 8.0, "8.0 s/tile, 0.25 mm²/s"),
        (0, 8.0, "0.0 tiles/s, 0.25 mm²/s"),
    ],
)
def test_slow_tiles_are_told_in_seconds(tiles: int, seconds: float, expected: str) -> None:
    assert say_rates(tiles, 2.0, seconds) == expected
