"""Slides in processes of their own give the same pixels; what ends a process costs that slide alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.deadly_slide import DeadlySlides
from scripts.errors import InputError
from scripts.review.reading import SlideReaders
from scripts.review.tiles import encode_jpeg, locate_tile
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide

SHAPE = (301, 407)
TILE = locate_tile(SHAPE, 1, 1, 1)
ASK: dict[str, Callable[..., Any]] = {
    "bounds": lambda readers, *slide: readers.bounds(*slide),
    "tile": lambda readers, *slide: readers.tile(TILE, *slide),
    "overview": lambda readers, *slide: readers.overview(8, *slide),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_pyramid(tmp_path / "a.tif", rng.integers(0, 255, (*SHAPE, 3), dtype=np.uint8), 0.5, (1, 4))
    (tmp_path / "deadly.tif").write_bytes((tmp_path / "a.tif").read_bytes())
    return tmp_path / "a.tif"


@pytest.fixture
def readers() -> Iterator[SlideReaders]:
    readers = SlideReaders(num_processes=2)
    yield readers
    readers.close()


def started(readers: SlideReaders) -> list[int]:
    return [reader.process._process.pid for reader in readers._readers if reader.process._process is not None]


def test_pixels_are_those_of_the_slide(path: Path, readers: SlideReaders) -> None:
    asked = path, 0.25, SHAPE
    with open_slide(path, assume_mpp=0.25) as slide:
        assert readers.bounds(*asked) == slide.bounds
        assert readers.tile(TILE, *asked) == encode_jpeg(slide.read_region((256, 256), (45, 151), 1.0))
        np.testing.assert_array_equal(readers.overview(8, *asked), slide.read_overview(8))
    assert len(started(readers)) == 1, "one suffices, and keeps the slide open"


def test_relative_paths_are_those_of_this_process(
    path: Path, readers: SlideReaders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    assert readers.bounds(Path("a.tif"), 0.5, SHAPE) == (0, 0, *SHAPE)


def test_what_cannot_be_shown_says_why(path: Path, readers: SlideReaders) -> None:
    with pytest.raises(InputError, match=r"expected the map's slide of 300 x 407 .*, found 301 x 407"):
        readers.bounds(path, 0.5, (300, 407))
    (path.parent / "no.tif").write_text("no slide")
    for _ in range(2):
        with pytest.raises(InputError, match=r"no\.tif: "):
            readers.bounds(path.parent / "no.tif", 0.5, SHAPE)
    assert readers.bounds(path, 0.5, SHAPE) == (0, 0, *SHAPE)


@pytest.mark.parametrize("when", list(ASK))
def test_a_slide_that_ends_its_process_is_set_aside_until_its_file_changes(path: Path, when: str) -> None:
    readers = SlideReaders(DeadlySlides(when), num_processes=1)
    deadly, others = path.with_name("deadly.tif"), [what for what in ASK if what != when]
    try:
        for what in others:
            ASK[what](readers, deadly, 0.5, SHAPE)
        with pytest.raises(InputError, match=r"deadly\.tif: the process that read it ended by SIGSEGV; .*set aside"):
            ASK[when](readers, deadly, 0.5, SHAPE)
        for what in ASK:
            ASK[what](readers, path, 0.5, SHAPE)
        running = started(readers)
        for what in ASK:
            with pytest.raises(InputError, match=r"ended by SIGSEGV"):
                ASK[what](readers, deadly, 0.5, SHAPE)
        assert started(readers) == running, "it was not read again"
        os.utime(deadly, (1, 1))
        ASK[others[0]](readers, deadly, 0.5, SHAPE)
    finally:
        readers.close()


def test_a_process_that_ends_while_nobody_asks_costs_no_slide(path: Path, readers: SlideReaders) -> None:
    readers.bounds(path, 0.5, SHAPE)
    process = readers._readers[-1].process._process
    process.kill()
    process.join()
    assert readers.tile(TILE, path, 0.5, SHAPE)


def test_the_end_waits_for_nobody_and_leaves_no_process(path: Path) -> None:
    readers = SlideReaders(DeadlySlides("bounds", by=signal.SIGSTOP), num_processes=2)
    failed: list[str] = []

    def ask() -> None:
        try:
            readers.bounds(path.with_name("deadly.tif"), 0.5, SHAPE)
        except InputError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(3)]  # one of them has to wait for a process
    for thread in threads:
        thread.start()
    while len(started(readers)) < 2:
        time.sleep(0.01)
    processes = [reader.process._process for reader in readers._readers]
    readers.close()
    for thread in threads:
        thread.join(30)
    assert len(failed) == 3
    assert "the review has ended; start it again" in failed
    assert not any(process.is_alive() for process in processes)
