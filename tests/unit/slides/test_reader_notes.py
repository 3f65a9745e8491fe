"""What a forked reader writes, its parent reads, also when it is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.slides import fallbacks, reader_notes
from scripts.slides.reader_notes import become_reader, note_slide, read_lines, slide_of, write_line


def in_a_fork(do: Callable[[], None]) -> int:
    """Run something in a process that ends at once, as one does that a decoder ends."""
    process = os.fork()
    if not process:
        do()
        os._exit(0)
    os.waitpid(process, 0)
    return process


def test_the_slide_in_work_outlives_its_reader() -> None:
    long = "/slides/" + "ü" * 3000 + ".tif"

    def read() -> None:
        become_reader()
        for path in ("/slides/a longer name.tif", "/slides/b.tif"):
            note_slide(path)

    def read_long() -> None:
        become_reader()
        note_slide(long)

    assert slide_of(in_a_fork(read)) == "/slides/b.tif"
    assert long.startswith((slide_of(in_a_fork(read_long)) or "?").rstrip("\udcc3"))
    assert slide_of(in_a_fork(lambda: note_slide("/slides/c.tif"))) is None
    assert slide_of(os.getpid()) is None


def test_lines_come_once() -> None:
    read_lines()

    def leave() -> None:
        become_reader()
        write_line("one")
        write_line("two\nlines")

    in_a_fork(leave)
    assert not write_line("of no reader")
    assert read_lines() == ["one", "two lines"]
    assert read_lines() == []


def test_slides_that_readers_read_slowly_are_told_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallbacks, "_told", set())
    reader_notes.read_lines()

    def read() -> None:
        become_reader()
        for _ in range(2):
            fallbacks.note_fallback("16 bits", Path("/slides/a.tif"))

    in_a_fork(read)
    fallbacks.tell_fallbacks()
    in_a_fork(read)
    fallbacks.tell_fallbacks()
    assert [record.getMessage() for record in caplog.records] == [
        "1 slide was read by OpenSlide, several times slower than by cuCIM: 16 bits: a.tif"
    ]
