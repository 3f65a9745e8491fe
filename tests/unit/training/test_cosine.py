from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from scripts.training.cosine import change_length


def _scheduler(length: int, steps: int) -> CosineAnnealingLR:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in (0.1, 0.003)]
    scheduler = CosineAnnealingLR(torch.optim.SGD(groups), T_max=length, eta_min=1e-5)
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
    return scheduler


@pytest.mark.parametrize(("length", "done"), [(7, 0), (7, 3), (40, 5), (6, 5)])
def test_rates_are_those_of_a_schedule_that_had_this_length_from_the_start(length: int, done: int) -> None:
    changed, straight = _scheduler(5, done), _scheduler(length, done)
    change_length(changed, length)
    for _ in range(length - done):
        assert changed.get_last_lr() == pytest.approx(straight.get_last_lr(), rel=1e-6)
        assert [group["lr"] for group in changed.optimizer.param_groups] == changed.get_last_lr()
        for scheduler in (changed, straight):
            scheduler.optimizer.step()
            scheduler.step()
