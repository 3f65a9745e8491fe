"""Starts commands as processes of their own, forked off one with their imports, so that each can be killed."""

from __future__ import annotations

import multiprocessing.process
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from helpers.preloaded import as_by_itself, fork_context


class Started:
    """A command that runs; in a ``with`` statement it is waited for, or ended where an assertion failed.

    Args:
        words: ``tumor-detection``, ``torchrun``, ``python`` or a module such as ``monai.bundle``, and its arguments.
        folder: its working directory.
        prepare: called in the process before the command.
        threads: of PyTorch; other numbers may add up in another order.
        said: what the command writes; by default ``said.txt`` in the folder.
    """

    def __init__(
        self,
        words: list[str],
        folder: Path,
        prepare: Callable[[], object] | None = None,
        threads: int = 1,
        said: Path | None = None,
    ) -> None:
        self._said = said or folder / "said.txt"
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
    as_by_itself()
    os.setsid()
    os.chdir(folder)
    multiprocessing.process.ORIGINAL_DIR = str(folder)  # type: ignore[attr-defined] # a process that it spawns begins there
    with open(said, "ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    import torch

    torch.set_num_threads(threads)
    if prepare is not None:
        prepare()
    _run_here(words)


def _run_here(words: list[str]) -> None:
    """Run a command in this process, as if it had just begun."""
    sys.argv = list(words)
    program = words[0]
    if program == "tumor-detection":
        from scripts.cli.main import main

        main()
    elif program == "torchrun":
        _run_torchrun(words[1:])
    elif program == "python":
        _run_python(words[1:])
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def _run_python(arguments: list[str]) -> None:
    """``python -m MODULE``, ``python -c CODE`` or ``python FILE``, and the arguments of that."""
    kind, *others = arguments
    sys.path.insert(0, os.getcwd() if kind.startswith("-") else str(Path(kind).resolve().parent))
    if kind == "-m":
        _run_here(others)
    elif kind == "-c":
        sys.argv = ["-c", *others[1:]]
        exec(compile(others[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        runpy.run_path(kind, run_name="__main__")


def _run_torchrun(arguments: list[str]) -> None:
    """What ``torchrun`` does, on the CPU; only its processes are forked off this one, whose autograd has no threads."""
    from torch.distributed import run
    from torch.distributed.launcher.api import elastic_launch

    def launch(config: Any, entrypoint: str) -> Callable[..., object]:
        config.start_method = "fork"
        started = elastic_launch(config, _run_rank)
        return lambda *words: started("python" if entrypoint == sys.executable else Path(entrypoint).name, *words)

    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    run.elastic_launch = launch  # type: ignore[assignment,misc]
    run.main(arguments)


def fork_torchrun() -> None:
    """From now on fork off this process, as it is now, what `subprocess.check_call` would start by ``torchrun``."""
    path = sys.path[:]

    def run_as_new(words: list[str]) -> None:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
            del sys.modules[name]
        _run_here(words)

    def check_call(words: list[str]) -> None:
        assert words[:3] == [sys.executable, "-m", "torch.distributed.run"], words
        process = multiprocessing.get_context("fork").Process(target=run_as_new, args=(["torchrun", *words[3:]],))
        process.start()
        process.join()
        if process.exitcode:
            raise subprocess.CalledProcessError(process.exitcode, words)

    subprocess.check_call = check_call  # type: ignore[assignment]


def _run_rank(*words: str) -> None:
    """What each of its processes does."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):  # torchrun's own answers are not its processes'
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _run_here([word for word in words if word != "-u"])
