from __future__ import annotations

import pytest
import torch

from scripts.network.activations import keep_tops, kept_tops, measure_tops, rounded_activations


class _Twice(torch.nn.Module):
    """Uses one ReLU twice, as a residual block does."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3)
        self.second = torch.nn.Conv2d(4, 2, 3)
        self.act = torch.nn.ReLU(inplace=True)
        self.norm = torch.nn.BatchNorm2d(2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.act(self.norm(self.second(self.act(self.first(pixels)))))
        return found


@pytest.fixture
def network() -> _Twice:
    torch.manual_seed(3)
    return _Twice().train()


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.rand((2, 3, 11, 7), generator=generator) * scale for scale in (1, 5, 2)]


def test_the_highest_value_of_each_use_is_found(network: _Twice) -> None:
    network.eval()
    first = [network.first(batch).relu() for batch in batches()]
    second = [network.norm(network.second(value)).relu() for value in first]
    expected = [max(float(value.detach().max()) for value in values) for values in (first, second)]
    network.train()
    found = measure_tops(network, batches())
    assert list(found) == ["act"]
    assert found["act"] == pytest.approx(expected, abs=1e-4)
    assert network.training, "left as it was"
    assert measure_tops(network, batches()) == found, "in evaluation nothing is learnt of the batches"
    assert not network.act._forward_hooks


def test_a_network_without_relu_has_none() -> None:
    assert measure_tops(torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3), torch.nn.GELU()), batches()) == {}


def test_a_network_carries_tops_that_are_its_own(network: _Twice) -> None:
    assert kept_tops(network) == ()
    assert kept_tops(object()) == ()
    keep_tops(network, {"act": [1, 2.5]})
    assert kept_tops(network) == (("act", (1.0, 2.5)),)
    for others in (None, {}, {"relu": [1.0]}, {"act": [1.0], "relu": [1.0]}):
        keep_tops(network, others)
        assert kept_tops(network) == (), others


def test_activations_are_rounded_as_long_as_the_context_lasts(network: _Twice) -> None:
    network.eval()
    seen: list[torch.Tensor] = []
    (pixels, *_), tops = batches(), (("act", (0.8, 0.4)),)
    exact = network(pixels)
    with rounded_activations(network, tops):
        network.act.register_forward_hook(lambda _, __, output: seen.append(output.detach()))
        network(pixels)
        network(pixels)
    torch.testing.assert_close(network(pixels), exact, rtol=0, atol=0)
    for value, top in zip(seen[:4], (0.8, 0.4, 0.8, 0.4), strict=True):
        step = 1.25 * top / 255
        assert float(value.max()) <= 1.25 * top * (1 + 1e-6)
        torch.testing.assert_close(value, (value / step).round() * step, rtol=0, atol=1e-6)
    torch.testing.assert_close(seen[0], network.first(pixels).relu().clamp(max=1.0), rtol=0, atol=0.51 / 255)
