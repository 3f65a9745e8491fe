"""The order of tiles where slides are screened first; that of other modes is tested in test_tiles.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from scripts.errors import InputError
from scripts.inference.screening import make_screen
from scripts.inference.slide_queue import SlideQueue
from scripts.inference.tile_plan import SlidePlan, Tile
from scripts.inference.tile_sampler import TileSampler
from scripts.inference.tiles import TileDataset

LOOK = SlidePlan("", (301, 449), 0.25, 64, 1.0, (5, 8), "all", "openslide", 40, 0)
SCREEN = make_screen(0.972, 0.243, 96, above=0.1, margin_um=0)
CHOSEN = np.ones((5, 8), dtype=bool)


class Slides(TileDataset):
    """Made-up slides: two tiles for the screen, three for the network."""

    def plan(self, path: str, copy: str | None, first_tile: int) -> list[Tile]:
        if "bad" in path:
            raise InputError(f"{path}: no slide")
        look = LOOK._replace(path=path)
        plan = look._replace(stride=128, downsample=4.0, map_shape=(3, 4), num_tiles=2, look=look)
        return [Tile(path, plan, (row, 0), np.ones((1, 4), dtype=bool)) for row in range(2)]

    def plan_look(self, plan: SlidePlan, chosen: npt.NDArray[np.bool_], first_tile: int) -> list[Tile]:
        if "vanishes" in plan.path:
            raise InputError(f"{plan.path}: vanished")
        return [Tile(plan.path, plan._replace(num_tiles=3), (row, 0), chosen[:1]) for row in range(3)]


def order(*paths: str, lag: int = 0, skip: Sequence[str] = (), dataset: Any = None) -> list[str]:
    """What comes, where tiles are computed as many tiles later as given; ``-`` where nothing can be told."""
    sampler = TileSampler(dataset or Slides([{"image": path} for path in paths], screen=SCREEN))
    found, queue = [], []
    for tile in sampler:
        if tile is None:
            found.append("-")
            compute(sampler, queue.pop(0), skip)
            continue
        is_screen = tile.plan is not None and tile.plan.look is not None
        found.append(f"{tile.path} {'!' if tile.error else 'screen' if is_screen else 'look'}")
        queue.append(tile)
        if len(queue) > lag:
            compute(sampler, queue.pop(0), skip)
    return found


def compute(sampler: TileSampler, tile: Tile, skip: Sequence[str]) -> None:
    if tile.error or tile.path in skip:
        sampler.skip.add(tile.path)
    elif tile.plan is not None and tile.plan.look is not None and tile.map_location[0] == 1:
        sampler.look(tile.plan.look, CHOSEN)


def turns(path: str, *kinds: str) -> list[str]:
    counts = {"screen": 2, "look": 3, "!": 1}
    return [f"{path} {kind}" for kind in kinds for _ in range(counts[kind])]


def test_the_next_slide_is_screened_before_the_network_looks_at_the_last() -> None:
    expected = [*turns("a", "screen"), *turns("b", "screen"), *turns("a", "look")]
    expected += [*turns("c", "screen"), *turns("b", "look"), *turns("c", "look")]
    assert order("a", "b", "c") == expected
    assert order("a", "b", "c", lag=1)[: len(expected) - 3] == expected[:-3], "read ahead meanwhile"


def test_where_nothing_is_left_to_screen_what_is_read_is_computed_first() -> None:
    assert order("a", lag=2) == [*turns("a", "screen"), "-", "-", *turns("a", "look")]
    assert order("a", "b", lag=3) == [
        *turns("a", "screen"),
        *turns("b", "screen"),
        "-",
        *turns("a", "look"),
        *turns("b", "look"),
    ], "the tiles of a push those of b through"


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_a_slide_that_fails_in_either_turn_holds_up_no_other(lag: int) -> None:
    found = order("a", "bad", "vanishes", "b", lag=lag)
    assert [entry for entry in found if entry.startswith("bad")] == ["bad !"]
    assert [entry for entry in found if entry.startswith("vanishes")] == turns("vanishes", "screen", "!")
    for name in ("a", "b"):
        assert [entry for entry in found if entry.startswith(name + " ")] == turns(name, "screen", "look")
    assert order("a", "b", lag=lag, skip=["a"]).count("a look") == 0


def test_a_slide_from_an_address_waits_for_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ["s3://bucket/a.tif", "s3://bucket/b.tif"]
    dataset = Slides([{"image": path} for path in paths], screen=SCREEN)
    monkeypatch.setattr(dataset.cache, "fetch", lambda url: "copy")
    monkeypatch.setattr(dataset.cache, "fetch_ahead", lambda url: None)
    expected = [*turns(paths[0], "screen", "look"), *turns(paths[1], "screen", "look")]
    assert order(dataset=dataset) == expected


def test_a_second_iteration_begins_anew() -> None:
    sampler = TileSampler(Slides([{"image": "a"}], screen=SCREEN))
    sampler.look(LOOK._replace(path="a"), CHOSEN)  # of an earlier run that was stopped
    tiles = iter(sampler)
    assert [next(tiles), next(tiles)] != [None, None]
    assert next(tiles) is None


# --- the next slide is planned ahead ------------------------------------------------------------------------------


class Shared(SlideQueue):
    """Slides that another process may take, too."""

    num_ranks = 2


def events_of(sampler: TileSampler, skip: str = "") -> list[str]:
    """What is begun and what comes, in order; of ``skip`` the first tile fails."""
    found: list[str] = []
    plan = sampler.dataset.plan

    def planner(path: str, copy: str | None, num_before: int) -> Callable[[], list[Tile]]:
        found.append(f"begin {path} {num_before}" + (f" of {copy}" if copy else ""))
        return lambda: plan(path, copy, 0)

    def take(paths: Sequence[str]) -> Iterator[str]:
        for path in paths:
            found.append(f"take {path}")
            yield path

    sampler.planner = planner
    sampler.queue.take = take  # type: ignore[method-assign]
    for tile in sampler:
        assert tile is not None
        is_screen = tile.plan is not None and tile.plan.look is not None and sampler.dataset.screen is not None
        found.append(f"{tile.path} {'!' if tile.error else 'screen' if is_screen else 'tile'}")
        if tile.path == skip:
            sampler.skip.add(tile.path)
        compute(sampler, tile, [])
    return found


def slides(*paths: str, screen: Any = None) -> Slides:
    return Slides([{"image": path} for path in paths], screen=screen)


def test_a_slide_is_planned_while_the_one_before_is_handed_out() -> None:
    tiles = {name: [f"{name} tile"] * 2 for name in "abc"}
    begins = {name: [f"take {name}", f"begin {name} 2"] for name in "bc"}
    expected = ["take a", "begin a 0", *begins["b"], *tiles["a"], *begins["c"], *tiles["b"], *tiles["c"]]
    assert events_of(TileSampler(slides("a", "b", "c"))) == expected


def test_what_is_done_meanwhile_is_done_once_before_the_first_plan_is_waited_for() -> None:
    events: list[str] = []

    class Noted(Slides):
        def plan(self, path: str, copy: str | None, first_tile: int) -> list[Tile]:
            events.append(f"wait for {path}")
            return super().plan(path, copy, first_tile)

    sampler = TileSampler(Noted([{"image": path} for path in "ab"]))
    for _ in range(2):
        sampler.meanwhile = lambda: events.append("meanwhile")
        assert events_of(sampler)[:2] == ["take a", "begin a 0"]
        assert events == ["meanwhile", "wait for a", "wait for b"]
        events.clear()


def test_nothing_is_done_meanwhile_where_there_is_no_slide() -> None:
    def fail() -> None:
        raise AssertionError("nothing to do")

    sampler = TileSampler(slides("a"))
    sampler.skip.add("a")
    sampler.meanwhile = fail
    assert events_of(sampler) == ["take a"]


def test_slides_that_processes_share_are_taken_when_the_one_before_is_nearly_handed_out() -> None:
    found = events_of(TileSampler(slides("a", "b"), Shared()))
    assert found == ["take a", "begin a 0", "a tile", "take b", "begin b 1", "a tile", "b tile", "b tile"]


def test_a_slide_that_fails_holds_up_no_plan() -> None:
    assert events_of(TileSampler(slides("bad", "b")))[2:] == ["take b", "begin b 1", "bad !", "b tile", "b tile"]
    found = events_of(TileSampler(slides("a", "b"), Shared()), skip="a")
    assert found == ["take a", "begin a 0", "a tile", "take b", "begin b 0", "b tile", "b tile"]
    sampler = TileSampler(slides("a", "b", "c"))
    sampler.skip.add("b")
    assert "begin b 2" not in events_of(sampler)


def test_a_screened_slide_is_planned_while_the_network_looks_at_the_one_before() -> None:
    found = events_of(TileSampler(slides("a", "b", "c", screen=SCREEN)))
    looks = ["a tile"] * 3
    assert found[2:6] == ["take b", "begin b 2", "a screen", "a screen"]
    assert found[6:13] == ["b screen", "b screen", "take c", "begin c 3", *looks]


def test_a_slide_from_an_address_is_copied_ahead_and_then_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ["s3://bucket/a.tif", "s3://bucket/b.tif"]
    dataset = slides(*paths)
    copied: list[str] = []
    monkeypatch.setattr(dataset.cache, "fetch", lambda url: f"copy {url[-5]}")
    monkeypatch.setattr(dataset.cache, "fetch_ahead", copied.append)
    found = events_of(TileSampler(dataset))
    assert [event for event in found if event.startswith("begin")] == [
        f"begin {path} 0 of copy {name}" for path, name in zip(paths, "ab", strict=True)
    ]
    assert copied == paths[1:]
