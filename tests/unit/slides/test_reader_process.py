"""The process that reads; what becomes of runs when it dies is tested with what runs."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal

import numpy as np
import numpy.typing as npt
import pytest

from scripts.errors import InputError
from scripts.slides import fallbacks
from scripts.slides.reader_process import LostReaderError, ReaderProcess

logger = logging.getLogger(__name__)


def _answer(number: int) -> int:
    logger.warning("asked for %d", number)
    fallbacks.note_fallback("a reason", f"{number}.tif")
    return number + 1


def _end() -> None:
    faulthandler.disable()  # pytest's, which is lengthy
    os.kill(os.getpid(), signal.SIGSEGV)


def _refuse() -> None:
    raise InputError("a.tif: refused")


def _fail() -> None:
    raise ZeroDivisionError("by zero")


class Subject:
    """Has a state that the process gets."""

    def __init__(self, size: int) -> None:
        self.size = size

    def pixels(self) -> npt.NDArray[np.uint8]:
        return np.arange(self.size * 7 * 3).astype(np.uint8).reshape(self.size, 7, 3)[::2]

    def prepare(self) -> None:
        logger.warning("prepared")

    def mask(self) -> npt.NDArray[np.bool_]:
        return np.eye(3, dtype=bool)


def test_a_process_ends_with_who_asks() -> None:
    reader = ReaderProcess()
    assert reader.ask("a", _answer, 3) == 4
    process = reader._process
    reader._connection.close()
    process.join(300)
    assert process.exitcode == 0


def test_a_process_prepares_its_subject_before_it_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    with ReaderProcess(Subject(3)) as reader:
        for _ in range(2):
            reader.ask("a", "mask")
    assert caplog.messages == ["prepared"]


def test_a_process_is_started_again() -> None:
    with ReaderProcess() as reader:
        with pytest.raises(
            LostReaderError, match=r"a\.tif: the process that read it ended by SIGSEGV; the file is damag"
        ):
            reader.ask("a.tif", _end)
        assert reader.ask("a", _answer, 3) == 4
        process = reader._process
    assert not process.is_alive()


def test_errors_name_the_slide() -> None:
    with ReaderProcess() as reader:
        with pytest.raises(InputError, match=r"^a\.tif: refused$"):
            reader.ask("a.tif", _refuse)
        with pytest.raises(InputError, match=r"^b\.tif: .*by zero"):
            reader.ask("b.tif", _fail)
        assert reader.ask("a", _answer, 3) == 4


@pytest.mark.parametrize("size", [100_001, 1, 0])
def test_arrays_come_whole(size: int) -> None:
    with ReaderProcess(Subject(size)) as reader:
        pixels = reader.ask("a", "pixels")
        np.testing.assert_array_equal(pixels, Subject(size).pixels())
        pixels[:] = 0  # it is the asker's own
        np.testing.assert_array_equal(reader.ask("a", "mask"), np.eye(3, dtype=bool))


def test_what_the_process_says_is_said_here(caplog: pytest.LogCaptureFixture) -> None:
    fallbacks.take_fallbacks()
    with ReaderProcess() as reader:
        reader.ask("a", _answer, 3)
        reader.ask("a", _answer, 5)
    assert [record.getMessage() for record in caplog.records] == ["asked for 3", "asked for 5"]
    assert fallbacks.take_fallbacks() == [("3.tif", "a reason"), ("5.tif", "a reason")]
    assert fallbacks.take_fallbacks() == []
