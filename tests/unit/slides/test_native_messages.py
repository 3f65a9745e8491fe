from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
import time
from multiprocessing.connection import Connection

import pytest

from scripts.slides import native_messages
from scripts.slides.native_messages import messages_as_errors


def test_native_messages_of_damage_raise(capfd: pytest.CaptureFixture[str]) -> None:
    for text in (
        b"ERROR in line 183 while\nreading JPEG header\n",
        b"Failed to decode\n",
        b"data corrupted",
        b"Not enough data",
    ):
        with pytest.raises(OSError, match=" ".join(text.decode().split())), messages_as_errors():
            ctypes.CDLL(None).printf(text)
    assert capfd.readouterr() == ("", "")


def test_ordinary_native_messages_pass(capfd: pytest.CaptureFixture[str]) -> None:
    with messages_as_errors():
        ctypes.CDLL(None).printf(b"a word about\n")
        os.write(2, b"the GPU\n")
        os.write(2, b"/a/slide.tif: AdobeDeflate compression support is not configured.\n")
        os.write(2, b"[Warning] Loading image('/a/slide.tif') with a slow-path. The pixel format would be RGBA!\n")
    assert capfd.readouterr() == ("", "a word about\nthe GPU\n")  # what was captured goes to stderr, less known noise
    os.write(1, b"afterwards\n")
    assert capfd.readouterr().out == "afterwards\n"


def test_exceptions_pass_through_a_capture(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError, match="mine"), messages_as_errors():
        raise KeyError("mine")
    assert capfd.readouterr() == ("", "")
    with messages_as_errors():
        pass


def capture_in_child(reply: Connection) -> None:
    reply.send(native_messages._CAPTURE_LOCK.acquire(timeout=100))


def test_a_fork_during_a_capture_does_not_lock_the_child() -> None:
    captured = threading.Event()

    def capture() -> None:
        with messages_as_errors():
            captured.set()
            time.sleep(0.3)

    thread = threading.Thread(target=capture)
    thread.start()
    captured.wait()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=capture_in_child, args=(there,))
    child.start()
    thread.join()
    assert here.poll(300)
    assert here.recv() is True
    child.join(300)
    assert child.exitcode == 0


def test_what_others_print_meanwhile_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    def print_lines() -> None:
        os.write(1, b"a line of another thread\n")
        ctypes.CDLL(None).printf(b"Corrupt JPEG data: 3 bytes\n")
        os.write(2, b"and one more\n")

    with pytest.raises(OSError, match=r"^Corrupt JPEG data: 3 bytes$"), messages_as_errors():
        print_lines()
    assert sorted("".join(capfd.readouterr()).splitlines()) == ["a line of another thread", "and one more"]
