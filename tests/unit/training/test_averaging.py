from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Engine

from scripts.errors import InputError
from scripts.training.averaging import WeightAverage, WeightAveraging


def make_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def train(network: torch.nn.Module, average: WeightAverage, steps: int) -> list[dict[str, torch.Tensor]]:
    """Each step's weights."""
    history = []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def step(engine: Engine, batch: torch.Tensor) -> None:
        optimizer.zero_grad()
        (network(batch) - 1).pow(3).sum().backward()
        optimizer.step()
        history.append({name: value.clone() for name, value in network.state_dict().items()})

    engine = Engine(step)
    WeightAveraging(average).attach(engine)
    engine.run([torch.randn(5, 3) for _ in range(steps)])
    return history


def test_average_follows_the_weights_and_the_statistics() -> None:
    network = make_network()
    average = WeightAverage(network, 0.3)
    history = train(network, average, 5)
    expected = history[0]
    for kept, state in zip((2 / 11, 3 / 12, 0.3, 0.3), history[1:], strict=True):  # 4 of 13 is over 0.3
        expected = {
            name: kept * value + (1 - kept) * state[name] if value.is_floating_point() else state[name]
            for name, value in expected.items()
        }
    found = average.chosen.state_dict()
    assert found.keys() == network.state_dict().keys()
    for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(found[name], expected[name])
    assert not torch.equal(found["0.weight"], network.state_dict()["0.weight"])


def test_a_short_training_is_not_averaged_with_its_beginning() -> None:
    network = torch.nn.Linear(1, 1)
    average = WeightAverage(network, 0.995)
    for step in range(100):
        torch.nn.init.constant_(network.weight, step)
        average.update()
    assert 85 < float(average.chosen.state_dict()["weight"]) < 95


def test_the_average_is_what_runs() -> None:
    network = make_network()
    average = WeightAverage(network, 0.5).eval()
    train(network, average, 3)
    pixels = torch.randn(4, 3)
    judge = make_network()
    judge.load_state_dict(average.chosen.state_dict())
    torch.testing.assert_close(average.eval()(pixels), judge.eval()(pixels))
    assert not torch.allclose(average(pixels), network.eval()(pixels))


def test_without_decay_the_network_itself_is_used() -> None:
    network = make_network()
    average = WeightAverage(network, 0)
    train(network, average, 2)
    assert average.chosen is network
    assert average.position() == {}
    average.resume({})


def test_an_average_goes_on_where_it_was() -> None:
    network = make_network()
    average = WeightAverage(network, 0.8)
    train(network, average, 3)
    later = make_network()
    later.load_state_dict(network.state_dict())
    resumed = WeightAverage(later, 0.8)
    resumed.resume(copy.deepcopy(average.position()))
    torch.manual_seed(1)
    train(network, average, 2)
    torch.manual_seed(1)
    train(later, resumed, 2)
    torch.testing.assert_close(dict(resumed.chosen.state_dict()), dict(average.chosen.state_dict()))


@pytest.mark.parametrize("decay", [1, 1.5, -0.1])
def test_bad_decay_is_refused(decay: float) -> None:
    with pytest.raises(InputError, match="ema_decay must be at least 0 and below 1, but got"):
        WeightAverage(make_network(), decay)
