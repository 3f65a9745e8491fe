"""Exponential moving average of a network's weights, which validates better than the last step's weights."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import InputError


def decay_after(num_updates: int, decay: float) -> float:
    """Share of a moving average that its next update keeps: small at first, ``decay`` in the long run."""
    return min(decay, (1 + num_updates) / (10 + num_updates))


class WeightAverage(torch.nn.Module):
    """A network whose weights and batch statistics follow another's.

    Its memory is short at first and grows, as TensorFlow's ``ExponentialMovingAverage`` does with ``num_updates``: else
    a short training ends with an average of what it began with.

    Args:
        network: the network that is trained.
        decay: share of the average that each step keeps in the long run; 0 means no average, the network itself is
            used.

    Raises:
        InputError: if ``decay`` is not at least 0 and below 1.
    """

    def __init__(self, network: torch.nn.Module, decay: float = 0.0) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise InputError(f"ema_decay must be at least 0 and below 1, but got {decay}")
        self.network = network
        self.decay = decay
        self.average = AveragedModel(network, use_buffers=True) if decay else None

    def update(self) -> None:
        """Follow the network by one step."""
        if self.average is not None:
            self.average.multi_avg_fn = get_ema_multi_avg_fn(decay_after(int(self.average.n_averaged), self.decay))
            self.average.update_parameters(self.network)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network with the averaged weights."""
        return self.chosen(*args, **kwargs)

    @property
    def chosen(self) -> torch.nn.Module:
        """The averaged network, or the network itself without an average."""
        return self.network if self.average is None else self.average.module

    def position(self) -> dict[str, Any]:
        """What `resume` needs; empty without an average."""
        return {} if self.average is None else self.average.state_dict()

    def resume(self, position: dict[str, Any]) -> None:
        """Go on from `position`.

        Raises:
            RuntimeError: if it was made with another network, or with no average.
        """
        if self.average is not None:
            self.average.load_state_dict(position)


class WeightAveraging:
    """Ignite handler that lets an average follow its network, step by step.

    Args:
        average: the average.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.average.update)
