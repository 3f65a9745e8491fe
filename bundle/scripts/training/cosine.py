"""The cosine schedule of a training that goes on for another number of epochs."""

from __future__ import annotations

import math

from torch.optim.lr_scheduler import CosineAnnealingLR


def change_length(scheduler: CosineAnnealingLR, length: int) -> None:
    """Make a cosine end after ``length`` epochs, at the rate where it would be now had it been so from the start.

    Args:
        scheduler: the schedule, at any epoch; changed in place, with the rates of its optimizer.
        length: epochs in all.
    """
    scheduler.T_max = length
    progress = (1 + math.cos(math.pi * scheduler.last_epoch / length)) / 2
    rates = [scheduler.eta_min + (base - scheduler.eta_min) * progress for base in scheduler.base_lrs]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates
