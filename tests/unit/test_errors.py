from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import scripts
from scripts import bundle_root
from scripts.errors import (
    STOP_SIGNALS,
    InputError,
    Stopped,
    StopRequest,
    counted,
    explain,
    first_input_error,
    one_line,
    root_cause,
)

MESSAGE = "slide_7.tif: the file states no resolution; give it with --assume_mpp"


class Broken(Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> torch.Tensor:
        try:
            raise OSError("Not a JPEG file: starts with 0xff 0xff")
        except OSError as error:
            raise InputError(MESSAGE) from error


def raise_wrapped(how: str) -> None:
    try:
        raise InputError(MESSAGE)
    except InputError as error:
        if how == "cause":
            raise RuntimeError("Failed to instantiate component") from error
        raise RuntimeError("while handling it") from None if how == "suppressed" else RuntimeError("again")


def test_an_input_error_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)
    assert first_input_error(InputError(MESSAGE)) is not None


@pytest.mark.parametrize("how", ["cause", "suppressed"])
def test_first_input_error_looks_behind_wrappers(how: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        raise_wrapped(how)
    assert str(first_input_error(caught.value)) == MESSAGE


def test_first_input_error_finds_none() -> None:
    assert first_input_error(None) is None
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    assert first_input_error(error) is None


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_worker_is_one_line(num_workers: int) -> None:
    loader = DataLoader(Broken(), num_workers=num_workers, multiprocessing_context="fork" if num_workers else None)
    with pytest.raises(InputError) as caught:
        next(iter(loader))
    assert ("Traceback" in str(caught.value)) == (num_workers > 0)
    found = first_input_error(caught.value)
    assert found is not None
    assert one_line(found) == MESSAGE


def test_root_cause_is_where_the_chain_starts() -> None:
    inner, middle, outer = KeyError("inner"), ValueError("middle"), RuntimeError("Failed to instantiate component")
    assert root_cause(outer) is outer
    outer.__cause__, middle.__cause__ = middle, inner
    assert root_cause(outer) is inner


def test_one_line_joins_lines() -> None:
    assert one_line(ValueError("  one\n   two\tthree\n")) == "one two three"


@pytest.mark.parametrize(
    "text",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:20192",
        "NCCL communicator was aborted on rank 1.",
    ],
)
def test_a_lost_process_points_to_its_own_line(text: str) -> None:
    outer = RuntimeError("Failed to evaluate ConfigExpression: '$@evaluator.run()'")
    outer.__cause__ = RuntimeError(text)
    assert explain(outer).startswith("another process of this run ended or hangs, and its own line says why (")
    assert "unexpected" in explain(RuntimeError("shape of gloomy tensor"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "Failed to instantiate component 'scripts.a.B' with keywords: size,path\n set '_mode_=debug' to debug.",
            "config: scripts.a.B cannot be made with the values given for size,path (TypeError: no number); mend them,",
        ),
        (
            "Failed to evaluate ConfigExpression: '$1/0'",
            "config: Failed to evaluate ConfigExpression: '$1/0' (no number)",
        ),
        ("the referring item `@b` is not defined in the config content.", "config: the referring item `@b` is not"),
        ("detected circular references 'a' for id='b' in the config content.", "config: detected circular references"),
    ],
)
def test_what_is_wrong_with_a_config_is_expected(said: str, expected: str) -> None:
    inner, middle, outer = TypeError("no number"), RuntimeError(said), RuntimeError("Failed to instantiate something")
    outer.__cause__, middle.__cause__ = middle, inner
    found = explain(outer)
    assert found.startswith(expected)
    assert "unexpected" not in found
    middle.__cause__ = InputError(MESSAGE)
    assert explain(outer) == MESSAGE


def test_what_goes_wrong_while_a_config_runs_is_unexpected() -> None:
    for call in ("$@evaluator.run()", "$@probability_maps.finish()", "$@checkpoints.run(@train::trainer)"):
        outer = RuntimeError(f"Failed to evaluate ConfigExpression: '{call}'")
        outer.__cause__ = KeyError("a")
        assert "unexpected" in explain(outer)


# --- signals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_first_signal_calls_and_the_handler_of_before_comes_back(number: int) -> None:
    before = signal.getsignal(number)
    told: list[int] = []
    request = StopRequest(lambda: told.append(1))
    with request:
        assert request.number is None
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # of the same Ctrl-C, passed on by another process
    assert told == [1]
    assert request.number == number
    assert signal.getsignal(number) is before
    assert Stopped(number).code == 128 + number


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_whose_exception_is_lost_is_heard_again(number: int) -> None:
    """Python drops what a finalizer raises, and what a hook raises around a fork."""

    class Interrupted:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)
            for _ in range(1000):  # the handler runs here
                pass

    def stop() -> None:
        raise KeyboardInterrupt

    before, request = sys.unraisablehook, StopRequest(stop)

    def run() -> None:
        with request:
            Interrupted()
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert request.number == number
    assert sys.unraisablehook is before


def test_a_signal_that_comes_while_it_is_taken_up_is_heard_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler raises inside the hook for lost exceptions is lost without a further word."""
    started: list[threading.Timer] = []

    class SlowToStart(threading.Timer):
        def start(self) -> None:
            started.append(self)
            if len(started) == 1:  # the main thread is still in the hook when the time is over
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                super().start()

    class Interrupted:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):  # the handler runs here
                pass

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading, "Timer", SlowToStart)

    def run() -> None:
        with StopRequest(stop):
            Interrupted()
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(started) == 2


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"),
    ],
)
def test_a_full_shared_memory_is_no_fault_of_a_config(error: Exception) -> None:
    wrapped = RuntimeError('Failed to evaluate ConfigExpression: "$@checkpoints.run(@train::trainer)"')
    wrapped.__cause__ = error
    assert explain(wrapped).startswith("no space left in /dev/shm")
    assert "--num_workers 0" in explain(wrapped)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_an_ignored_signal_stays_ignored(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopRequest(pytest.fail) as request:  # type: ignore[arg-type]
            os.kill(os.getpid(), number)
        assert request.number is None
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_outside_of_the_main_thread_nothing_changes() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    found: list[object] = []

    def listen() -> None:
        with StopRequest(lambda: None):
            found.extend(signal.getsignal(number) for number in STOP_SIGNALS)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == before


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_second_signal_ends_the_process_at_once_and_a_fork_is_left_alone(number: int) -> None:
    code = f"""
import os, sys, time
from scripts.errors import StopRequest
with StopRequest(lambda: print("first", flush=True)):
    child = os.fork()
    if not child:
        os.kill(os.getpid(), {number})
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    os.kill(os.getpid(), {number})
    time.sleep(1.2)
    os.kill(os.getpid(), {number})
    print("not reached", flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": str(bundle_root())}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("first\n", "", -number)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, "slide"), "0 slides"),
        ((1, "slide"), "1 slide"),
        ((2, "slide"), "2 slides"),
        ((1, "slide is", "slides are"), "1 slide is"),
        ((3, "patch", "patches"), "3 patches"),
    ],
)
def test_a_number_stands_with_its_noun(arguments: tuple[Any, ...], expected: str) -> None:
    assert counted(*arguments) == expected


def test_no_message_counts_one_slides() -> None:
    """A number in a message stands with `errors.counted`, so that nobody reads of 1 slides."""
    number = r"len\((?:[^(){}]|\([^(){}]*\))*\)|(?:self\.|\w+\.)?num_\w+|\w+\['num_\w+'\]"
    nouns = "slides|maps|patients|lesions|detections|regions|files|masks|nodes|patches|names|tiles|positions|processes"
    plain = re.compile(rf"\{{(?:{number})(?::,)?\}} (?:\w+ )?(?:{nouns})\b")
    odd = [
        f"{path.name}: {found.group()}"
        for path in sorted(Path(scripts.__file__).parent.rglob("*.py"))
        for found in plain.finditer(path.read_text(encoding="utf-8"))
    ]
    assert odd == []
