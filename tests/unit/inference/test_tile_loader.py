from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from helpers.ahead import Ahead, feed_ahead
from helpers.ramp import write_coded
from scripts.errors import InputError
from scripts.inference.tile_loader import TileLoader, start_reading
from scripts.inference.tile_plan import NO_POSITIONS, SlidePlan, Tile
from scripts.inference.tile_sampler import TileSampler
from scripts.inference.tiles import TileDataset
from scripts.masks.foreground import ForegroundSettings
from scripts.network.transfers import DeviceFeed
from scripts.slides import reader_process

NUM_TILES = 5
EVERYTHING = ForegroundSettings(saturation=0.0, min_value=0.0, max_hole_um2=0, min_tissue_um2=0)


_BOUND_SECONDS = 600


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A loader that waits for what never comes fails its test, rather than hold up all others."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"the loader gave nothing for {_BOUND_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_BOUND_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class Slides(TileDataset):
    """Made-up slides, some of which end the process that plans or reads them."""

    def plan(self, path: str, copy: str | None, first_tile: int) -> list[Tile]:
        end(path, "plan")
        if path.endswith("told"):
            Path(path).touch()
        if "warns" in path:
            logging.getLogger("planning").warning("%s: a warning", path)
        plan = SlidePlan(path, (301, 449), 0.25, 64, 1.0, (5, 8), "all", "openslide", 40, NUM_TILES)
        return [Tile(path, plan, (row, first_tile), np.ones((1, 8), dtype=bool)) for row in range(NUM_TILES)]

    def read(self, tile: Tile) -> npt.NDArray[np.uint8]:
        if tile.map_location[0] == 2:
            end(tile.path, "read")
        return np.full((3, 5, 3), tile.map_location[0], dtype=np.uint8)


def end(path: str, when: str) -> None:
    """Do what the path says."""
    faulthandler.disable()  # pytest's, which is lengthy
    if f"{when} segv" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if f"{when} kill" in path:
        os.kill(os.getpid(), signal.SIGKILL)
    if f"{when} exit" in path:
        os._exit(3)
    if f"{when} raise" in path:
        raise ZeroDivisionError("by nothing")
    if f"{when} error" in path:
        raise InputError(f"{path}: as it should be told")
    if f"{when} hang" in path:
        time.sleep(3600)


def make_loader(*paths: str, num_workers: int = 1, **options: Any) -> TileLoader:
    dataset = Slides([{"image": path} for path in paths], num_workers=num_workers)
    return TileLoader(dataset, TileSampler(dataset), num_workers, **options)


def results_of(loader: TileLoader) -> tuple[Counter[str], dict[str, str]]:
    """How many tiles of each slide came with their pixels, and the first error of each."""
    counts: Counter[str] = Counter()
    errors: dict[str, str] = {}
    for sample in loader:
        tile, image = sample["tile"], sample["image"]
        if tile.error is not None:
            assert image.numel() == 0
            assert not tile.positions.any()
            errors.setdefault(tile.path, tile.error)
            loader.sampler.skip.add(tile.path)
            continue
        assert image.dtype == torch.uint8
        assert image.shape == (1, 3, 3, 5)
        assert (image == tile.map_location[0]).all()
        counts[tile.path] += 1
    return counts, errors


DEATHS = {
    "read segv": "ended by SIGSEGV; the file is damaged: copy the slide again from its source",
    "plan segv": "ended by SIGSEGV; the file is damaged",
    "read kill": "was killed (SIGKILL), as systems do where memory is short; run it again with fewer readers",
    "plan kill": "was killed (SIGKILL)",
    "read exit": "ended with status 3",
    "plan exit": "ended with status 3",
    "read raise": "ZeroDivisionError: by nothing",
    "plan raise": "ZeroDivisionError: by nothing",
    "read error": "as it should be told",
    "plan error": "as it should be told",
}


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("death", DEATHS)
def test_a_slide_that_ends_its_reader_is_named_and_the_others_go_on(death: str, num_workers: int) -> None:
    counts, errors = results_of(make_loader("a", death, "b", "c", num_workers=num_workers))
    assert [counts[path] for path in "abc"] == [NUM_TILES] * 3
    assert counts[death] < NUM_TILES
    assert list(errors) == [death]
    assert errors[death].startswith(f"{death}: ")
    assert DEATHS[death] in errors[death]


def test_many_deaths() -> None:
    paths = [f"{name} {death}" for name in "ab" for death in ("read segv", "plan kill", "read exit")]
    counts, errors = results_of(make_loader(*paths, "whole", num_workers=2))
    assert counts["whole"] == NUM_TILES
    assert sorted(errors) == sorted(paths)


def test_a_reader_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_process.ReaderProcess.__init__, "__defaults__", (None, 0.5, None))
    counts, errors = results_of(make_loader("read hang", "a", "plan hang", "b"))
    assert (counts["a"], counts["b"]) == (NUM_TILES, NUM_TILES)
    assert list(errors) == ["read hang", "plan hang"]
    for path, error in errors.items():
        assert error.startswith(f"{path}: the process that read it gave no answer within 0.5 s and was ended; ")


def test_tiles_come_in_the_order_of_the_sampler() -> None:
    loader = make_loader("a", "b", num_workers=3)
    found = [(sample["tile"].path, *sample["tile"].map_location) for sample in loader]
    assert found == [(path, row, first) for path, first in (("a", 0), ("b", NUM_TILES)) for row in range(NUM_TILES)]


def test_the_next_slide_is_planned_while_the_first_tile_is_computed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    tiles = iter(make_loader("a", str(told)))
    assert next(tiles)["tile"].path == "a"
    while not told.exists():
        time.sleep(0.01)
    assert [sample["tile"].path for sample in tiles] == ["a"] * (NUM_TILES - 1) + [str(told)] * NUM_TILES


def test_a_loader_that_ends_does_not_wait_for_a_plan() -> None:
    loader = make_loader("a", "plan hang")
    tiles = iter(loader)
    next(tiles)
    tiles.close()  # type: ignore[attr-defined]
    assert loader._planner._reader._process is None


@pytest.mark.parametrize("persistent", [False, True])
def test_processes_end_with_the_iteration_or_stay(persistent: bool) -> None:
    loader = make_loader("a", num_workers=2, persistent_workers=persistent)
    assert len(list(loader)) == NUM_TILES
    parts = [asker._reader for asker in (loader._planner, *loader._readers)]
    processes = [part._process for part in parts]
    assert all((process is not None) == persistent for process in processes)
    assert len(list(loader)) == NUM_TILES
    assert [part._process for part in parts] == processes
    iterator = iter(loader)
    next(iterator)
    iterator.close()  # as when a run is interrupted: nothing is left over for the next
    assert all(part._process is None for part in parts)
    assert [sample["tile"].map_location[0] for sample in loader] == list(range(NUM_TILES))
    loader.close()


class Early(Slides):
    """Says when it got ready to plan, and may end then."""

    def prepare_to_plan(self) -> None:
        path = self.data[0]["image"]
        Path(path).touch()
        end(path, "prepare")


@pytest.mark.parametrize("name", ["a", "prepare exit", "prepare raise"])
def test_processes_may_start_before_they_are_needed(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    dataset = Early([{"image": path}])
    loader = TileLoader(dataset, TileSampler(dataset))
    start_reading(loader)
    while not Path(path).exists():
        time.sleep(0.01)
    parts = [asker._reader for asker in (loader._planner, *loader._readers)]
    processes = [part._process for part in parts]
    assert None not in processes
    assert results_of(loader) == (Counter({path: NUM_TILES}), {})
    assert all(part._process is None for part in parts)


def test_processes_of_a_loader_that_nobody_has_any_more_end() -> None:
    loader = make_loader("a")
    assert start_reading(loader) is True
    processes = [asker._reader._process for asker in (loader._planner, *loader._readers)]
    del loader
    gc.collect()
    assert not any(process.is_alive() for process in processes)


def test_a_copy_of_a_loader_in_another_process_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = make_loader("a")
    loader.start()
    askers = [loader._planner, *loader._readers]
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        del loader
        gc.collect()
    assert all(asker._reader._process.is_alive() for asker in askers)
    for asker in askers:
        asker.close()


def test_a_loader_of_another_kind_is_left_alone() -> None:
    assert start_reading([{"image": torch.zeros(1)}]) is False


def test_warnings_of_planning_are_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    assert len(list(make_loader("warns"))) == NUM_TILES
    assert [record.getMessage() for record in caplog.records] == ["warns: a warning"]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_pixels_are_those_of_the_dataset(tmp_path: Path, num_workers: int) -> None:
    paths = [write_coded(tmp_path / f"coded_{name}.tif", (701, 903)) for name in "ab"]
    dataset = TileDataset(
        [{"image": str(path)} for path in paths],
        stride=32, tile_size=448, foreground=EVERYTHING, num_workers=num_workers,
    )  # fmt: skip
    expected = [dataset[tile] for path in paths for tile in dataset.tiles(str(path))]
    found = list(TileLoader(dataset, TileSampler(dataset), num_workers))
    assert len(found) == len(expected) > 8
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert one["image"].permute(0, 2, 3, 1).is_contiguous()
        assert one["tile"].map_location == other["tile"].map_location
        assert one["tile"].plan == other["tile"].plan


def test_a_tile_without_positions_is_not_read() -> None:
    loader = make_loader("a")
    loader.sampler.planner = lambda *_: lambda: [Tile("b", None, (0, 0), NO_POSITIONS, "b: an error")]
    (sample,) = loader
    assert sample["tile"].error == "b: an error"


@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_processor_begins_with_one_tile_and_then_takes_more(
    monkeypatch: pytest.MonkeyPatch, num_workers: int
) -> None:
    feed = DeviceFeed(num_streams=2)
    feed.most_together = 4
    monkeypatch.setattr("scripts.inference.tile_loader.make_feed", lambda device: feed)
    found = []
    for sample in make_loader("a", "read error", "b", num_workers=num_workers):
        tiles = sample["tile"] if isinstance(sample["tile"], list) else [sample["tile"]]
        found.append("".join(f"{tile.path[0]}{'!' if tile.error else tile.map_location[0]}" for tile in tiles))
    assert found == ["a0", "a1a2a3a4", "r0r1", "r!", "r3r4", "b0b1b2b3", "b4"]


# --- as on a GPU --------------------------------------------------------------------------------------------------


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    return feed_ahead(monkeypatch)


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_tiles_of_a_slide_come_together(ahead: Ahead, num_workers: int) -> None:
    found = []
    for sample in make_loader("a", "read error", "b", num_workers=num_workers):
        tiles = sample["tile"] if isinstance(sample["tile"], list) else [sample["tile"]]
        images = sample["image"] if isinstance(sample["tile"], list) else [sample["image"]]
        for tile, image in zip(tiles, images, strict=True):
            assert image.numel() == 0 if tile.error else (image == tile.map_location[0]).all()
        found.append("".join(f"{tile.path[0]}{'!' if tile.error else tile.map_location[0]}" for tile in tiles))
    assert found == ["a0a1a2", "a3a4", "r0r1", "r!", "r3r4", "b0b1b2", "b3b4"]
    assert ahead.num_sent == 3 * NUM_TILES - 1


def test_processes_start_when_there_is_something_to_read(ahead: Ahead) -> None:
    loader = make_loader("a", num_workers=NUM_TILES + 3, persistent_workers=True)
    assert len(list(loader)) == 2
    assert [asker._thread is not None for asker in loader._readers] == [True] * NUM_TILES + [False] * 3
    assert ahead.num_entered == NUM_TILES
    loader.close()
