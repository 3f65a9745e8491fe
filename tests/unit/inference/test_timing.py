from __future__ import annotations

from collections.abc import Iterator

import pytest
from ignite.engine import Engine

from scripts.inference.timing import Timing, say_rates


class Clock:
    """Time passes while somebody sleeps, and not otherwise."""

    def __init__(self) -> None:
        self._now = 100.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("scripts.inference.timing.time", found)
    return found


def run(clock: Clock, load_seconds: float, compute_seconds: float, write_seconds: float) -> Timing:
    """A run of four tiles that takes its time."""
    timing = Timing()

    def load() -> Iterator[int]:
        for index in range(4):
            clock.sleep(load_seconds)
            yield index

    def step(engine: Engine, index: int) -> None:
        clock.sleep(compute_seconds)
        timing.add("compute")
        clock.sleep(write_seconds)
        timing.add("write")
        timing.num_tiles += 1
        timing.mm2 += 0.5

    engine = Engine(step)
    timing.attach(engine)
    engine.run(load(), epoch_length=4)
    return timing


@pytest.mark.parametrize(("seconds", "expected"), [((5, 2, 1), "decode"), ((1, 5, 2), "compute"), ((2, 1, 5), "write")])
def test_what_took_most_bounds_the_run(clock: Clock, seconds: tuple[float, float, float], expected: str) -> None:
    summary = run(clock, *seconds).summary()
    assert summary["bound_by"] == expected
    assert summary["seconds_in"] == {"decode": 4 * seconds[0], "compute": 4 * seconds[1], "write": 4 * seconds[2]}
    assert summary["seconds"] == 32


def test_rates_are_per_second(clock: Clock) -> None:
    timing = run(clock, 2, 3, 0)
    summary = timing.summary()
    assert (summary["tiles"], summary["tissue_mm2"], summary["seconds"]) == (4, 2.0, 20)
    assert (summary["tiles_per_second"], summary["mm2_per_second"]) == (0.2, 0.1)
    assert timing.rates() == "5.0 s/tile, 0.10 mm²/s"


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
