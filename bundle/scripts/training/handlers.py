"""Parts of the training engine: class weight, loss for logs and bars, random numbers, clipping, stopping."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from tqdm import tqdm

from ..errors import InputError
from .augmentation import Augmentation
from .jitter import check_range

logger = logging.getLogger(__name__)


def class_weight(tumor: float, device: torch.device) -> torch.Tensor:
    """The weight of tumor patches in the loss, relative to normal ones, as the loss wants it.

    Raises:
        InputError: if it is not positive.
    """
    if not tumor > 0:
        raise InputError(f"pos_weight must be positive, but got {tumor}")
    return torch.tensor(tumor, device=device)


def loss_of(output: dict[str, torch.Tensor]) -> float:
    """The loss of a step, from the trainer's output."""
    return float(output["loss"].detach())


class EpochBar:
    """A progress bar for each epoch, which is there before the first step is done: that one may take a minute.

    Args:
        desc: what stands before the bar.
        loss: gives the loss of a step from the engine's output, which stands behind the bar; None shows none.
    """

    def __init__(self, desc: str, loss: Callable[[Any], float] | None = None) -> None:
        self.desc = desc
        self.loss = loss
        self._bar: tqdm[Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer or an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end)

    def _begin(self, engine: Engine) -> None:
        self._end()  # the bar of an epoch that was broken off
        epoch, epochs = engine.state.epoch, engine.state.max_epochs or 1
        desc = f"{self.desc} [{epoch}/{epochs}]" if epochs > 1 else self.desc
        form = "{desc}: [{n_fmt}/{total_fmt}] {percentage:3.0f}%|{bar}{postfix} [{elapsed}<{remaining}]"
        self._bar = tqdm(total=engine.state.epoch_length, desc=desc, leave=False, bar_format=form)

    def _step(self, engine: Engine) -> None:
        if self._bar is not None:
            if self.loss is not None:
                self._bar.set_postfix(loss=self.loss(engine.state.output), refresh=False)
            self._bar.update()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class EpochSeed:
    """Seeds the random numbers of each epoch, so that a run that is resumed goes on as it would have.

    Once more when its first batch is there: a loader draws numbers too when it starts its processes, which a resumed
    run does in another epoch.

    Args:
        seed: the run's.
        rank: which of the processes that train together this is; each has other numbers.

    Raises:
        InputError: if ``seed`` is not an integer from 0 on.
    """

    def __init__(self, seed: int, rank: int = 0) -> None:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise InputError(f"seed must be an integer from 0 on, but got {seed!r}")
        self.seed = seed
        self.rank = rank

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._seed_first)

    def _seed_first(self, engine: Engine) -> None:
        if engine.state.epoch_length and engine.state.iteration % engine.state.epoch_length == 0:
            self(engine)

    def __call__(self, engine: Engine) -> None:
        """Seed torch's generators."""
        words = np.random.SeedSequence([self.seed, engine.state.epoch, self.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0]))


class CrispEnd:
    """Resamples no patches in the last epochs of a training.

    A patch that is turned or zoomed is blurred, and a patch of a slide is not: what Touvron et al. 2019 did about
    resolutions (https://arxiv.org/abs/1906.06423), for blur.

    Args:
        augmentation: the training's; None where there is none.
        share: of the epochs, rounded to whole ones; 0 leaves the augmentation alone.

    Raises:
        InputError: if ``share`` is not from 0 to 1.
    """

    def __init__(self, augmentation: Augmentation | None, share: float = 0.0) -> None:
        check_range("crisp_share", share, 1)
        self.augmentation = augmentation
        self.share = share

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.augmentation is not None and self.share:
            engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Stop resampling once only these epochs are left."""
        epochs = engine.state.max_epochs or 0
        is_crisp = engine.state.epoch > epochs - round(self.share * epochs)
        if is_crisp and self.augmentation is not None and self.augmentation.resample_prob > 0:
            logger.info("no patch is resampled from epoch %d on", engine.state.epoch)
            self.augmentation.resample_prob = 0.0


class GradientClipping:
    """Scales the gradients of a step down to a largest norm.

    Args:
        network: the network that is trained.
        max_norm: largest Euclidean norm over all parameters; None leaves them as they are.

    Raises:
        InputError: if ``max_norm`` is not positive.
    """

    def __init__(self, network: torch.nn.Module, max_norm: float | None = None) -> None:
        if max_norm is not None and not max_norm > 0:
            raise InputError(f"max_grad_norm must be positive or null, but got {max_norm}")
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.max_norm is not None:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip the gradients of this step."""
        if self.max_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)


class EarlyStopping:
    """Ends a training whose key metric has not improved for some epochs. Attach it after the validation handler.

    Args:
        evaluator: the validation engine; None where nothing is validated.
        patience: epochs without a better metric; None trains to the end.

    Raises:
        InputError: if ``patience`` is not a positive integer, or there is no validation to wait for.
    """

    def __init__(self, evaluator: Engine | None, patience: int | None = None) -> None:
        if patience is not None and (not isinstance(patience, int) or patience < 1):
            raise InputError(f"patience must be a positive number of epochs or null, but got {patience!r}")
        if patience is not None and evaluator is None:
            raise InputError(f"patience must be null in a training without validation, but got {patience}")
        self.evaluator = evaluator
        self.patience = patience

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.patience is not None:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, trainer: Engine) -> None:
        """Stop if the patience is used up."""
        if self.evaluator is None or self.patience is None:
            return
        best = self.evaluator.state.best_metric_epoch
        if best > 0 and trainer.state.epoch - best >= self.patience:
            logger.info("stopping after epoch %d: the best was epoch %d", trainer.state.epoch, best)
            trainer.terminate()


class Attaching:
    """Attaches a handler that has an id of its own in the config.

    MONAI's check of a training's properties reads the ``_target_`` of each entry of its list of handlers, so the list
    cannot hold a reference.

    Args:
        handler: the handler.
    """

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def attach(self, engine: Engine) -> None:
        """Attach it to an engine."""
        self.handler.attach(engine)
