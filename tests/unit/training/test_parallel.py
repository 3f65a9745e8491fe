"""Several processes that train in step, against one process with the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.forked_ranks import run_ranks
from scripts.training.dense import DenseLoss
from scripts.training.parallel import SharedBatchNorm, SharedLoss, distribute, share_norms

CPU = torch.device("cpu")
SHARES = (slice(0, 4), slice(4, 5), slice(5, 7))
"""What three processes get of seven samples."""

torch.manual_seed(3)
PIXELS = torch.randn(7, 3, 6, 5) * torch.tensor([1.0, 3.0, 0.1])[:, None, None] + 2
LABELS = torch.arange(7).remainder(2).float()[:, None, None, None]


def make_network() -> torch.nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3),
            torch.nn.Sequential(torch.nn.BatchNorm2d(4), torch.nn.ReLU()),
            torch.nn.Conv2d(4, 1, (4, 3)),
            torch.nn.BatchNorm2d(1, momentum=None),
        )


def train_steps(network: torch.nn.Module, run: torch.nn.Module, loss: torch.nn.Module, share: slice) -> list[float]:
    """Two steps; returns the losses."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    values = []
    for _ in range(2):
        optimizer.zero_grad()
        value = loss(run(PIXELS[share]), LABELS[share])
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    return values


def shared_steps(rank: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    torch.manual_seed(rank)
    network = make_network()
    with torch.no_grad():
        for value in network.parameters():  # only the first process's count
            value.add_(rank)
    losses = train_steps(
        network, distribute(network, CPU, rank), SharedLoss(torch.nn.BCEWithLogitsLoss()), SHARES[rank]
    )
    return losses, {name: value.numpy() for name, value in network.state_dict().items()}


def test_three_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    network = make_network()
    expected = train_steps(network, network, torch.nn.BCEWithLogitsLoss(), slice(None))
    results = run_ranks(shared_steps, 3, tmp_path)
    for losses, state in results:
        assert losses == pytest.approx(expected, rel=1e-5)
        assert state.keys() == network.state_dict().keys()
        for name, value in network.state_dict().items():
            torch.testing.assert_close(torch.as_tensor(state[name]), value, rtol=1e-4, atol=1e-5, msg=name)
            assert (state[name] == results[0][1][name]).all(), "the same bits in all processes"


def dense_gradient(rank: int, pred: Any, label: Any) -> tuple[float, Any]:
    share = SHARES[rank]
    inside = pred[share].clone().requires_grad_()
    value = SharedLoss(DenseLoss(agreement=0.0))(inside.expand(-1, 2, -1, -1), label[share])
    value.backward()
    return float(value.detach()), inside.grad.numpy() / len(SHARES)


def test_labels_that_are_unknown_do_not_count(tmp_path: Path) -> None:
    pred = torch.linspace(-2, 2, 28).reshape(7, 1, 2, 2)
    label = (pred > 0.5).float()
    label[1, 0, 0] = label[5, 0, 1, 1] = torch.nan
    whole = pred.clone().requires_grad_()
    expected = DenseLoss(agreement=0.0)(whole.expand(-1, 2, -1, -1), label)
    expected.backward()
    results = run_ranks(dense_gradient, 3, tmp_path, pred, label)
    for share, (value, gradient) in zip(SHARES, results, strict=True):
        assert value == pytest.approx(float(expected.detach()), rel=1e-5)
        torch.testing.assert_close(torch.as_tensor(gradient), whole.grad[share])  # type: ignore[index]


def test_norms_are_replaced_with_their_parameters_and_statistics() -> None:
    network = make_network()
    norm = network[1][0]
    parameters = list(network.parameters())
    network[1].eval()
    share_norms(network)
    assert isinstance(network[1][0], SharedBatchNorm)
    assert not network[1][0].training
    assert network[1][0].running_mean is norm.running_mean
    assert all(first is second for first, second in zip(parameters, network.parameters(), strict=True))
    pixels = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(network[1][0](pixels), norm(pixels), rtol=0, atol=0)
    with pytest.raises(ValueError, match="expected"):
        network[1][0](torch.zeros(3))
