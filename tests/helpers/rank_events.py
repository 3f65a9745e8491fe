"""Handlers for tests of several processes; configs append them to ``train#handlers``."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from scripts.errors import InputError
from scripts.slides import pool
from scripts.slides.slide import open_slide


class Fail:
    """Ends one process at the start of an epoch's second step.

    Args:
        rank: which process.
        epoch: when.
        how: ``error`` or ``kill``.
        note: file that then holds the time.
    """

    def __init__(self, rank: int, epoch: int, how: str, note: str) -> None:
        self.is_chosen = int(os.environ.get("RANK", "0")) == rank
        self.epoch, self.how, self.note = epoch, how, note

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        second = (engine.state.iteration - 1) % engine.state.epoch_length == 1
        if self.is_chosen and engine.state.epoch == self.epoch and second:
            Path(self.note).write_text(str(time.time()))
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise InputError("tumor_001.tif: made to fail")


class Note:
    """Notes that an epoch has begun.

    Args:
        epoch: which.
        note: file that then exists.
    """

    def __init__(self, epoch: int, note: str) -> None:
        self.epoch, self.note = epoch, note

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch == self.epoch:
            Path(self.note).touch()


class SaveEach:
    """Saves the network's and the average's weights of each process after each epoch, and the validation's metrics.

    Args:
        network: the network.
        average: the average.
        evaluator: the validation engine.
        folder: where to.
    """

    def __init__(self, network: torch.nn.Module, average: torch.nn.Module, evaluator: Engine, folder: str) -> None:
        self.network, self.average, self.evaluator, self.folder = network, average, evaluator, Path(folder)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        content = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "metrics": dict(self.evaluator.state.metrics),
            "train": dict(engine.state.metrics),
            "best": (float(self.evaluator.state.best_metric), self.evaluator.state.best_metric_epoch),
        }
        torch.save(content, self.folder / f"epoch_{engine.state.epoch}_rank_{os.environ.get('RANK', '0')}.pt")


class NoteSlides:
    """Notes which slides each process takes; before the first it waits until each has one, and one may be killed.

    After a restart none waits: the few slides that are left may all be one process's.

    Args:
        folder: where a file ``<attempt>_<rank>.txt`` lists them.
        kill: the process that is killed at its first slide, unless it was restarted.
    """

    def __init__(self, folder: str, kill: int | None = None) -> None:
        self.folder = Path(folder)
        self.rank, self.num_ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        self.is_killed = self.rank == kill and self.attempt == 0
        self.slides: list[str] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        name = Path(engine.state.batch["tile"].path).stem
        if name in self.slides:
            return
        self.slides.append(name)
        (self.folder / f"{self.attempt}_{self.rank}.txt").write_text("\n".join(self.slides))
        deadline = time.monotonic() + 300
        while self.attempt == 0 and len(list(self.folder.glob("0_*.txt"))) < self.num_ranks:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if self.is_killed:
            (self.folder / "failed_at").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)


class KillReaders:
    """From now on a process that opens the slide ``deadly.tif`` is ended, as by a decoder; other slides are read.

    In configs its readers inherit that; what they read for must not open slides itself, so give it readers.
    """

    def attach(self, engine: Engine) -> None:
        kill_readers()


def kill_readers() -> None:
    """What `KillReaders` does, before there are readers."""
    if pool.open_slide is not _open_or_die:
        pool.open_slide = _open_or_die


def _open_or_die(path: Path, *arguments: Any, **named: Any) -> Any:
    if Path(path).name == "deadly.tif":
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
    return open_slide(path, *arguments, **named)
