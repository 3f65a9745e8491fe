"""The one kind of error that a user can mend; signals that ask to stop."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any

_OF_A_CONFIG = re.compile(
    r"detected circular references|is not defined in the config content|query key: |"
    r"Cannot locate class or function path|"
    r"Failed to evaluate (?!.*\.(?:run|finish)\()"  # what goes wrong while it runs says nothing of the config
)
_OF_A_COMPONENT = re.compile(r"Failed to instantiate component '(.+)' with keywords: (\S*)")
_OF_THE_OTHERS = re.compile(r"\bgloo/|\bNCCL\b|\bTCPStore\b")  # how torch tells that it lost another process

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # the last is unknown to Windows
"""Signals that ask a command to stop: Ctrl-C, a scheduler, a terminal that is closed."""

_AGAIN_SECONDS = 0.02
_SAME_REQUEST_SECONDS = 1.0  # a terminal and torchrun may both pass on the same Ctrl-C


class InputError(ValueError):
    """A problem in what the user gave: a file, a folder, a value, an id.

    The message is one line that names the file or key, what was expected, what was found and the way out.
    The command line prints it without a traceback and exits with status 1.
    """


class FilesFailedError(InputError):
    """Some of several files could not be used, and all others are done.

    Attributes:
        reasons: by path or address.
    """

    def __init__(self, message: str, reasons: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reasons = dict(reasons or {})


class NoLesionError(InputError):
    """There is nothing that lesions could be scored on; whole slides may still be.

    Attributes:
        auc: area under the ROC curve of the slides; None where all are of one class, or nobody asked.
    """

    auc: float | None = None


class Stopped(SystemExit):
    """The end of a run that a signal asked for, once what it did is saved; nothing above it has more to say.

    Args:
        number: the signal; the exit status is 128 more, as of a program that it ended.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class StopRequest:
    """Within a ``with`` block, the first of `STOP_SIGNALS` calls a function, and the second ends the process at once.

    A signal that was ignored before, as by ``nohup``, stays ignored. Outside of the main thread, where Python handles
    no signals, the block changes nothing.

    Args:
        first: called at the first signal, wherever the program is: it may raise, or tell that the end is near.

    Attributes:
        number: the first signal, None as long as there was none.
    """

    def __init__(self, first: Callable[[], None]) -> None:
        self.first = first
        self.number: int | None = None
        self._at = 0.0
        self._process = os.getpid()
        self._before: dict[int, Any] = {}
        self._raised: BaseException | None = None
        self._again: threading.Timer | None = None
        self._tell_unraisable: Callable[[Any], object] = sys.unraisablehook

    def __enter__(self) -> StopRequest:
        """Listen."""
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in STOP_SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
            self._before = {number: signal.signal(number, self._handle) for number in heard}
            self._tell_unraisable, sys.unraisablehook = sys.unraisablehook, self._hear_again
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave signals to whoever had them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._raised = None  # its traceback keeps all that was at hand
        if self._again is not None:
            self._again.cancel()
        if sys.unraisablehook == self._hear_again:
            sys.unraisablehook = self._tell_unraisable

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a fork: the process that it works for is asked too
            return
        if self.number is None and _runs(self._hear_again, frame):  # where what it raises would be lost again
            self._ask_again(number)
        elif self.number is None:
            self.number, self._at = number, time.monotonic()
            try:
                self.first()
            except BaseException as error:
                self._raised = error
                raise
        elif time.monotonic() - self._at > _SAME_REQUEST_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _hear_again(self, unraisable: Any) -> None:
        """Take up a signal whose exception was lost: Python drops those of finalizers and of hooks around a fork."""
        if self._raised is None or unraisable.exc_value is not self._raised:
            self._tell_unraisable(unraisable)
            return
        number, self.number, self._raised = self.number or signal.SIGINT, None, None
        self._ask_again(number)

    def _ask_again(self, number: int) -> None:
        self._again = threading.Timer(_AGAIN_SECONDS, os.kill, (self._process, number))
        self._again.daemon = True
        self._again.start()


def _runs(function: Callable[..., object], frame: FrameType | None) -> bool:
    """Whether a frame is of a method, or of what the method calls."""
    code = getattr(function, "__code__", None)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


def first_input_error(error: BaseException | None) -> InputError | None:
    """Return the `InputError` behind an exception, following causes and contexts, or None.

    MONAI's config parser and DataLoader workers wrap what a component raises; this finds the line worth printing.
    """
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def root_cause(error: BaseException) -> BaseException:
    """The exception at the start of a chain of causes: MONAI's ``Failed to instantiate`` hides what failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _of_config(error: BaseException) -> str | None:
    """What MONAI says of an id or a component of a config that cannot be made, with what went wrong there."""
    said, root = None, root_cause(error)
    cause: BaseException | None = error
    while cause is not None:
        text = one_line(cause)
        if _OF_A_CONFIG.search(text):
            return f"config: {text:.200}{'' if cause is root else f' ({one_line(root):.120})'}; mend this id"
        made = _OF_A_COMPONENT.search(text)
        if made is not None:
            said = (
                f"config: {made[1]} cannot be made with the values given for {made[2]} "
                f"({type(root).__name__}: {one_line(root):.200}); mend them, or see with --debug where"
            )
        cause = cause.__cause__
    return said


def one_line(error: BaseException) -> str:
    """The message of an error as one line.

    A DataLoader worker's error comes back with the worker's traceback as its text; the line that matters is its last.
    """
    text = str(error)
    if "Caught " in text and "Original Traceback" in text:
        text = text.rsplit(f"{type(error).__name__}: ", maxsplit=1)[-1]
    return " ".join(text.split())


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number with what it counts: ``1 slide``, ``2 slides``.

    Args:
        number: how many there are.
        one: what one of them is called, maybe with a verb, such as ``slide is``.
        several: the same of none or several; ``one`` with an s if not given.
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def some_of(number: int, total: int, one: str, verb: str, several: str) -> str:
    """How many of how many, with a verb that agrees with the first: ``1 of 3 slides has``, ``2 of 3 slides have``.

    Args:
        number: of whom something is said.
        total: how many there are.
        one: what one of them is called.
        verb: what is said of one.
        several: what is said of none or several.
    """
    return f"{number} of {counted(total, one)} {verb if number == 1 else several}"


def few(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def explain(error: BaseException) -> str:
    """What went wrong, as one line: the `InputError` behind an exception, else the file, else what failed first."""
    known = first_input_error(error)
    if known is not None:
        return one_line(known)
    root = root_cause(error)
    if isinstance(root, OSError) and root.filename:
        return f"{root.filename}: {root.strerror}; check the path, its rights and the space"
    if isinstance(root, RuntimeError) and _OF_THE_OTHERS.search(str(root)):
        return f"another process of this run ended or hangs, and its own line says why ({one_line(root):.120})"
    if "shared memory" in str(root) or (isinstance(root, OSError) and root.errno == errno.ENOSPC):
        return (
            f"no space left in /dev/shm, through which readers hand over pixels, or in the temporary folder "
            f"({one_line(root):.120}); give it more (docker run --shm-size), or --num_workers 0"
        )
    if isinstance(root, SyntaxError) and root.filename in ("<unknown>", "<string>"):  # MONAI parses expressions so
        text = (root.text or "").strip()
        return f"config: the expression {text!r:.80} is no Python ({root.msg}); mend what stands behind $"
    if (of_config := _of_config(error)) is not None:
        return of_config
    where = "" if root is error else f" in: {one_line(error):.90}"
    return f"{type(root).__name__}: {one_line(root)} (unexpected{where}; run again with --debug to see where)"
