"""Checkpoints of a training run: the last epoch or step to resume from, the best epoch to use."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import CosineAnnealingLR

from ..errors import InputError, counted
from ..files import atomic_path
from ..network.activations import measure_tops
from ..network.network import load_checkpoint
from ..network.purpose import Purpose, check_sidecar, make_purpose, write_weights
from ..slides.fallbacks import tell_fallbacks
from ..slides.readers import watched_readers
from .averaging import WeightAverage
from .cosine import change_length
from .interruption import Interruption, RandomNumbers, can_resume_within, steps_in_epoch
from .run_folder import RunFolder

logger = logging.getLogger(__name__)


class TrainingCheckpoints:
    """Ignite handler that saves every epoch, keeps the best by validation, and resumes an interrupted run.

    ``last.pt`` holds network, average, optimizer, scheduler, epoch and the best metric so far, and the loss if it has
    parameters; of a run that Ctrl-C stopped within an epoch also its steps there and the random numbers. ``model.pt``
    is the plain state dict of the epoch with the best key metric, or of the latest as long as there is none, and
    ``model.json`` says what it is for. Resumed for another number of epochs, a cosine schedule is stretched to it.
    Attach it after the validation and learning-rate handlers.

    Args:
        output_dir: see `run_folder.prepare_run_dir`.
        network: the network that is trained.
        average: what is validated and becomes ``model.pt``.
        optimizer: the optimizer.
        lr_scheduler: the scheduler.
        evaluator: the validation engine, whose key metric decides; without one the latest epoch counts.
        resume: continue from ``last.pt`` if it is there.
        half: write ``model.pt`` in float16, half as large.
        rank: which of the processes that train together this is; all resume, the first saves.
        loss: the loss.
        purpose: what the weights will be for.

    Attributes:
        inputs: (N, 3, h, w) float32 inputs of the network on which its highest activations are measured.

    Raises:
        InputError: see `run_folder.prepare_run_dir` and `network.purpose.check_sidecar`.
    """

    def __init__(
        self,
        output_dir: str | Path,
        network: torch.nn.Module,
        average: WeightAverage,
        optimizer: torch.optim.Optimizer,
        lr_scheduler: Any,
        evaluator: Engine | None,
        resume: bool = True,
        half: bool = False,
        rank: int = 0,
        loss: torch.nn.Module | None = None,
        *,
        purpose: Purpose,
    ) -> None:
        self.folder = RunFolder(output_dir)
        self.output_dir = self.folder.path
        self.last_path = self.output_dir / "last.pt"
        check_sidecar(self.output_dir / "model.pt")
        self.parts = {"network": network, "optimizer": optimizer, "lr_scheduler": lr_scheduler}
        if loss is not None and any(True for _ in loss.parameters()):
            self.parts["loss"] = loss
        self.average = average
        self.lr_scheduler = lr_scheduler
        self.evaluator = evaluator
        self.resume = resume
        self.half = half
        self.rank = rank
        self.purpose = purpose
        self.inputs: list[torch.Tensor] = []
        self.interruption = Interruption(rank)
        self.random_numbers = RandomNumbers(rank)
        self._saved_epoch = -1
        self._has_warned = False

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.rank == 0:
            engine.add_event_handler(Events.STARTED, self.folder.lock)
            engine.add_event_handler(Events.COMPLETED, self.folder.unlock)
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.STARTED, self.check_start)
        self.interruption.attach(engine)
        self.random_numbers.attach(engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.stop_if_asked)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def run(self, trainer: Engine) -> None:
        """Train to the end, or until a signal asks to stop.

        Raises:
            Stopped: if one did, after a line that says what is saved.
            InputError: names the slide if a process that read for this one is gone.
        """
        engines = [trainer] if self.evaluator is None else [trainer, self.evaluator]
        loaders = [getattr(engine, "data_loader", None) for engine in engines]
        try:
            with watched_readers(*loaders), self.interruption.request:
                trainer.run()
        finally:
            self.folder.unlock()  # a training that failed must not keep others out as long as this process lives
        if self.interruption.request.number is not None:
            self.interruption.end(trainer, self.last_path, self.resume)

    def restore(self, trainer: Engine) -> None:
        """Continue from the last epoch saved, if there is one.

        Raises:
            InputError: if the checkpoint is damaged, or was made with other data, batch size, network or resolution.
        """
        if not self.resume or not self.last_path.exists():
            return
        state = load_checkpoint(self.last_path)
        try:
            length = dict(state)["epoch_length"]
            if trainer.state.epoch_length not in (None, length):
                raise InputError(
                    f"{self.last_path}: made with {counted(length, 'iteration')} per epoch, this run has "
                    f"{trainer.state.epoch_length}; give --resume false, another --output_dir, or the old settings"
                )
            if "mpp" in state and not make_purpose(state["mpp"], state["patch_size"]).fits(self.purpose):
                raise InputError(
                    f"{self.last_path}: made at mpp {state['mpp']} with patch_size {state['patch_size']}, this "
                    f"run takes {self.purpose}; give --resume false, another --output_dir, or the old settings"
                )
            cosine = self.lr_scheduler if isinstance(self.lr_scheduler, CosineAnnealingLR) else None
            cosine_length = 0 if cosine is None else cosine.T_max
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.average.resume(state["average"])
            if cosine is not None and cosine.T_max != cosine_length:
                change_length(cosine, cosine_length)
            step = state.get("step", 0)
            if step and not can_resume_within(trainer):
                raise InputError(f"{self.last_path}: stopped within an epoch; go on with the same train#sampler")
            trainer.state.epoch = state["epoch"]
            trainer.state.iteration = state["epoch"] * length + step
            if step:
                trainer.data_loader.sampler.start_at(step)
                self.random_numbers.resume(state["random_numbers"])
            if self.evaluator is not None:
                self.evaluator.state.best_metric = state["best_metric"]
                self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
            self._saved_epoch = state["best_metric_epoch"]
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{self.last_path}: does not fit this run ({' '.join(str(error).split()):.200}); "
                "give --resume false or another --output_dir"
            ) from error
        if self.rank > 0:
            return
        epochs = trainer.state.max_epochs
        if state["epoch"] >= epochs:
            done = counted(epochs, "epoch is", "epochs are")
            logger.warning("%s: %s done, which is all; raise --epochs to train on", self.last_path, done)
        elif step:
            logger.info(
                "%s: resuming in epoch %d of %d, after step %d of %d",
                *(self.last_path, state["epoch"] + 1, epochs, step, length),
            )
        else:
            logger.info("%s: resuming after epoch %d of %d", self.last_path, state["epoch"], epochs)

    def check_start(self, trainer: Engine) -> None:
        """Make sure that all processes start after the same step.

        Raises:
            InputError: if they do not.
        """
        epochs, steps = idist.all_gather(trainer.state.epoch), idist.all_gather(trainer.state.iteration)
        if isinstance(steps, list) and len(set(steps)) > 1:
            raise InputError(
                f"{self.last_path}: the processes found different checkpoints, of epochs {epochs}; give an output_dir "
                "that all machines share"
            )

    def save(self, trainer: Engine) -> None:
        """Save the epoch that just ended, and the weights if they are the best so far; stop there if asked to."""
        if self.rank == 0:
            best_metric, best_epoch = self._best()
            has_best = best_epoch > 0 and math.isfinite(best_metric)
            if not has_best and self.evaluator is not None:
                self._warn_without_metric()
            if not has_best or best_epoch > self._saved_epoch:
                write_weights(self.output_dir / "model.pt", self._weights(), self._measured_purpose())
                self._saved_epoch = best_epoch
            _save({**self._state(trainer), "epoch": trainer.state.epoch}, self.last_path)
        tell_fallbacks()
        if self.interruption.is_due_after_epoch():
            trainer.terminate()

    def stop_if_asked(self, trainer: Engine) -> None:
        """Save the step that just ended and stop there, if a signal asked for it."""
        if not self.interruption.is_due(trainer):
            return
        if can_resume_within(trainer):
            random_numbers, step = self.random_numbers.position(), steps_in_epoch(trainer)
            if self.rank == 0:
                within = {"epoch": trainer.state.epoch - 1, "step": step, "random_numbers": random_numbers}
                _save({**self._state(trainer), **within}, self.last_path)
        trainer.terminate()

    def _state(self, trainer: Engine) -> dict[str, Any]:
        best_metric, best_epoch = self._best()
        return {
            **{name: part.state_dict() for name, part in self.parts.items()},
            "average": self.average.position(),
            "mpp": self.purpose.mpp,
            "patch_size": list(self.purpose.patch_size),
            "epoch_length": trainer.state.epoch_length,
            "best_metric": best_metric,
            "best_metric_epoch": best_epoch,
        }

    def _best(self) -> tuple[float, int]:
        """The best metric so far and its epoch, which is -1 as long as there is none."""
        if self.evaluator is None:
            return -1.0, -1
        return float(self.evaluator.state.best_metric), self.evaluator.state.best_metric_epoch

    def _weights(self) -> dict[str, torch.Tensor]:
        # on the CPU: a file of CUDA tensors cannot be read where there is no GPU
        weights = {name: value.cpu() for name, value in self.average.chosen.state_dict().items()}
        if not self.half:
            return weights
        return {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}

    def _measured_purpose(self) -> Purpose:
        device = next(iter(self.average.chosen.parameters())).device
        tops = measure_tops(self.average.chosen, (inputs.to(device) for inputs in self.inputs))
        return self.purpose._replace(activations=tops or None)

    def _warn_without_metric(self) -> None:
        if not self._has_warned:
            logger.warning(
                "%s: holds the latest weights, not the best, until validation gives a metric; it needs normal and "
                "tumor cells in the validation file, and a val_interval of at most the epochs",
                self.output_dir / "model.pt",
            )
        self._has_warned = True


def _save(state: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
