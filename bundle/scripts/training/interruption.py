"""A training that Ctrl-C asks to stop: it ends after the step at hand, in all of its processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from ..errors import Stopped, StopRequest
from .samplers import RankSampler


def steps_in_epoch(trainer: Engine) -> int:
    """Steps done of the epoch at hand; 0 at its end."""
    return int(trainer.state.iteration % trainer.state.epoch_length) if trainer.state.epoch_length else 0


def can_resume_within(trainer: Engine) -> bool:
    """Whether a run can go on within an epoch: samplers of other kinds cannot leave steps out."""
    return isinstance(getattr(trainer.data_loader, "sampler", None), RankSampler)


class Interruption:
    """Hears of a signal in any of the processes that train together, and lets all stop after the same step.

    Args:
        rank: which of these processes this is; the first tells.
    """

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank
        self.request = StopRequest(self._say)
        self._is_epoch_over = False

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)

    def _begin_epoch(self) -> None:
        self._is_epoch_over = False

    def is_due(self, trainer: Engine) -> bool:
        """Whether the training shall stop now, at the end of a step; called in all processes after each.

        After the last step of an epoch it goes on, to its end: what validation finds belongs to the epoch.
        """
        self._share()
        self._is_epoch_over = steps_in_epoch(trainer) == 0
        if self._is_epoch_over and self.request.number is not None:
            self._say()
        return self.request.number is not None and not self._is_epoch_over

    def is_due_after_epoch(self) -> bool:
        """Whether the training shall stop now, at the end of an epoch; called in all processes after each."""
        self._share()
        return self.request.number is not None

    def end(self, trainer: Engine, last_path: Path, does_resume: bool) -> NoReturn:
        """End the process once the others are here: when one is gone, ``torchrun`` kills the rest.

        Args:
            trainer: what has stopped.
            last_path: what it goes on from.
            does_resume: whether the same command would go on.

        Raises:
            Stopped: always, after the first process has told what is saved.
        """
        idist.barrier()
        if self.rank == 0:
            print(f"stopped; {_saved(trainer, last_path, does_resume)}", file=sys.stderr, flush=True)
        raise Stopped(self.request.number or 0)

    def _share(self) -> None:
        number = idist.all_reduce(int(self.request.number or 0), "MAX")
        self.request.number = int(number) or None

    def _say(self) -> None:
        """Written as it is: a signal may come while a logger or the progress bar writes."""
        what = "this epoch's validation" if self._is_epoch_over else "this step"
        if self.rank == 0:
            os.write(2, f"\nstopping after {what}, to save it; Ctrl-C again stops at once\n".encode())


def _saved(trainer: Engine, last_path: Path, does_resume: bool) -> str:
    step, length = steps_in_epoch(trainer), trainer.state.epoch_length
    where = f"epoch {trainer.state.epoch} of {trainer.state.max_epochs}"
    if not step:
        saved = where
    elif can_resume_within(trainer):
        saved = f"{where}, step {step} of {length},"
    elif last_path.exists():
        saved = f"{where} is not, but the epoch before it"
    else:
        return f"{where} was not finished, and nothing is saved"
    command = "the same command" if does_resume else "the same command with --resume true"
    return f"{saved} is saved in {last_path}; {command} goes on from there"


class RandomNumbers:
    """Where torch's generators stand within an epoch, of all processes that train together.

    Args:
        rank: which of these processes this is.
    """

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank
        self._wanted: dict[str, torch.Tensor] = {}

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer: a new epoch's loader draws numbers too, so `resume` acts after that."""
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._set)

    def position(self) -> dict[str, torch.Tensor]:
        """What `resume` needs; called in all processes.

        Returns:
            For ``cpu`` and, where there is one, ``cuda``: (processes, N) uint8.
        """
        states = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state()
        ranks = idist.get_world_size()
        return {kind: idist.all_gather(state).cpu().reshape(ranks, -1) for kind, state in states.items()}

    def resume(self, position: dict[str, torch.Tensor]) -> None:
        """Go on from `position` at the next step; another number of processes goes on with other numbers."""
        if all(len(states) == idist.get_world_size() for states in position.values()):
            # copies: torch crashes on a state that begins within another tensor
            self._wanted = {kind: states[self.rank].clone() for kind, states in position.items()}

    def _set(self) -> None:
        wanted, self._wanted = self._wanted, {}
        if "cpu" in wanted:
            torch.set_rng_state(wanted["cpu"])
        if "cuda" in wanted and torch.cuda.is_available():
            torch.cuda.set_rng_state(wanted["cuda"])
