"""Starts ``tumor-detection`` and MONAI's command as processes that can be killed, forked off one with their imports."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from helpers.preloaded import fork_context


class Started:
    """A command that runs; in a ``with`` statement it is waited for, or ended where an assertion failed.

    Args:
        words: ``tumor-detection`` or ``monai.bundle``, and its arguments.
        folder: its working directory; gets ``said.txt``, which holds what it writes.
        prepare: called in the process before the command.
        threads: of PyTorch; other numbers may add up in another order.
    """

    def __init__(
        self, words: list[str], folder: Path, prepare: Callable[[], object] | None = None, threads: int = 1
    ) -> None:
        self._said = folder / "said.txt"
        self._said.touch()
        self._process = fork_context().Process(target=_run, args=(words, folder, self._said, prepare, threads))
        self._process.start()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is not None:
            self._process.kill()
        self._process.join()

    @property
    def pid(self) -> int:
        """The process's number, and that of its group."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has written so far, to standard output and to standard error."""
        return self._said.read_text(encoding="utf-8")

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its status once it has ended, negative if a signal ended it."""
        self._process.join(600)
        status = self._process.exitcode
        assert status is not None, self.said
        return status

    def assert_runs(self) -> None:
        """Fail with what it wrote if it has ended."""
        assert self._process.is_alive(), self.said


def _run(words: list[str], folder: Path, said: Path, prepare: Callable[[], object] | None, threads: int) -> None:
    os.setsid()
    os.chdir(folder)
    with open(said, "ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    import torch

    torch.set_num_threads(threads)
    if prepare is not None:
        prepare()
    sys.argv = words
    if words[0] == "monai.bundle":
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    else:
        from scripts.cli.main import main

        main()
