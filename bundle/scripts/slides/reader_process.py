"""A process that opens slides and decodes their pixels for another, which outlives it.

Decoders are native code: a damaged file may end the process that reads it, and so may the system where memory is
short. Pixels come through a pipe, so that nothing is shared that a dead process could leave in disorder, and nothing
depends on the size of ``/dev/shm``.
"""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import os
import queue
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError, explain
from .fallbacks import note_fallback, take_fallbacks

_END_SECONDS = 5.0
_WAIT_SECONDS = 3600.0


class LostReaderError(InputError):
    """The process that read a slide is gone."""


class _Shape(tuple[int, ...]):
    """What stands for pixels, which come after it."""


def _allocate(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.empty(shape, dtype=np.uint8)


class ReaderProcess:
    """A process that reads for this one, started when it is first asked and again when it was lost.

    Args:
        subject: whose methods it calls; None if it is asked for functions alone. If it has a method ``prepare``, the
            process calls it before it is asked for anything.
        wait_seconds: how long it may take for an answer; planning a slide without a pyramid reads all of it.
        method: how it is started, see ``multiprocessing.get_context``; a process that has threads is best not forked,
            and what it is asked for must then be importable.
    """

    def __init__(self, subject: object = None, wait_seconds: float = _WAIT_SECONDS, method: str | None = None) -> None:
        self._context: Any = multiprocessing.get_context(method)
        self._subject = subject
        self._wait_seconds = wait_seconds
        self._process: Any = None
        self._connection: Connection

    def __enter__(self) -> ReaderProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def ask(
        self,
        path: str,
        asked: str | Callable[..., Any],
        *arguments: Any,
        allocate: Callable[[tuple[int, ...]], npt.NDArray[np.uint8]] = _allocate,
    ) -> Any:
        """Let the process call something.

        Args:
            path: the slide that it is about.
            asked: the name of a method of the subject, or a function of a module; it returns what can be pickled.
            arguments: of the method or function.
            allocate: makes the memory for an answer that is a uint8 array, by its shape.

        Returns:
            What it returned.

        Raises:
            LostReaderError: if the process dies meanwhile, or does not answer.
            InputError: if the slide cannot be read.
        """
        self.start()
        try:
            self._connection.send((path, asked, arguments))
            if not self._connection.poll(self._wait_seconds):
                self.close()
                raise LostReaderError(
                    f"{path}: the process that read it gave no answer within {self._wait_seconds:g} s and was ended; "
                    "look at the disk that the slide lies on, and copy it again from its source"
                )
            answer, error, warnings, fallbacks = self._connection.recv()
            if isinstance(answer, _Shape):
                answer = allocate(answer)
                if answer.size:
                    self._connection.recv_bytes_into(answer.reshape(-1))
        except (OSError, EOFError) as lost:
            raise LostReaderError(f"{path}: {self._end()}") from lost
        for record in warnings:
            logging.getLogger(record.name).handle(record)
        for slide, reason in fallbacks:
            note_fallback(reason, slide)
        if error is not None:
            raise InputError(error)
        return answer

    def start(self) -> None:
        """Start the process, unless it runs; one that ended since it was last asked is no slide's fault."""
        if self._process is not None:
            if self._process.is_alive():
                return
            self._end()
        self._connection, other = self._context.Pipe()
        process = self._context.Process(
            target=_answer,
            args=(other, self._connection, self._subject, os.getcwd(), logging.getLogger().level),
            daemon=True,
            name="slide reader",
        )
        process.start()
        self._process = process  # now, since another thread may end it
        other.close()

    def kill(self) -> None:
        """End the process, also while another thread waits for its answer, which hears of it."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process; nobody may wait for its answer."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _end(self) -> str:
        """Forget the process, which has ended, or ends now.

        Returns:
            How it ended, for the end of a message.
        """
        process, self._process = self._process, None
        process.join(_END_SECONDS)
        process.kill()
        process.join()
        self._connection.close()
        if process.exitcode == -signal.SIGKILL:
            return (
                "the process that read it was killed (SIGKILL), as systems do where memory is short; run it again with "
                "fewer readers (--num_workers) or more memory"
            )
        code = process.exitcode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
        return f"the process that read it ended {how}; the file is damaged: copy the slide again from its source"


def _answer(connection: Connection, other: Connection, subject: object, folder: str, level: int) -> None:
    """What the process does: answer until nobody asks any more. Relative paths mean what they mean to who asks."""
    other.close()  # as long as this end is open, nobody's end is noticed
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    told: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    root = logging.getLogger()
    root.handlers[:] = [logging.handlers.QueueHandler(told)]
    root.setLevel(level)
    getattr(subject, "prepare", lambda: None)()
    while True:
        try:
            path, asked, arguments = connection.recv()
        except (EOFError, OSError):
            return
        answer, error, pixels = None, None, None
        try:
            answer = (getattr(subject, asked) if isinstance(asked, str) else asked)(*arguments)
        except InputError as found:
            error = str(found)
        except Exception as found:  # whatever a slide leads to, the others go on
            logging.getLogger(__name__).debug("unexpected", exc_info=True)
            error = f"{path}: {explain(found)}"
        if isinstance(answer, np.ndarray) and answer.dtype == np.uint8:
            pixels = np.ascontiguousarray(answer)
            answer = _Shape(pixels.shape)
        try:
            connection.send((answer, error, [told.get() for _ in range(told.qsize())], take_fallbacks()))
            if pixels is not None and pixels.size:
                connection.send_bytes(pixels.reshape(-1).data)
        except OSError:  # nobody listens any more
            return
