from __future__ import annotations

import copy

import pytest
import torch

from helpers.networks import fc_network
from scripts.equivariance import make_equivariant, mean_kernels, spread_kernels
from scripts.errors import InputError
from scripts.orientations import NUM_ORIENTATIONS, turn


def even_network() -> torch.nn.Module:
    """Of odd sides every layer of stride 2 is symmetric: 97, 49, 25, 13, 7, 4."""
    torch.manual_seed(0)
    network = fc_network(pool=4)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.rand(module.num_features // 8).repeat_interleave(8))  # type: ignore[union-attr]
    make_equivariant(network, fresh=True)
    return network


def logits_of_turned(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([network(turn(pixels, kind)) for kind in range(NUM_ORIENTATIONS)])[:, 0, 0, 0]


def test_a_patch_in_any_orientation_has_one_logit() -> None:
    network = even_network().eval()
    pixels = torch.randn(1, 3, 97, 97)
    logits = logits_of_turned(network, pixels)
    torch.testing.assert_close(logits, logits[:1].expand(8), rtol=1e-4, atol=1e-4)
    plain = logits_of_turned(fc_network(pool=4).eval(), pixels)
    assert plain.std() > 100 * logits.std(), "a network without it tells them apart"


def test_feature_maps_turn_with_the_patch() -> None:
    network = even_network().eval()
    pixels = torch.randn(1, 3, 97, 97)
    with torch.no_grad():
        straight = network.features(pixels).reshape(-1, 8, 4, 4)  # type: ignore[operator]
        for kind in range(NUM_ORIENTATIONS):
            turned = network.features(turn(pixels, kind)).reshape(-1, 8, 4, 4)  # type: ignore[operator]
            expected = turn(straight, kind)
            for orientation in range(NUM_ORIENTATIONS):
                matches = [
                    torch.allclose(turned[:, other], expected[:, orientation], rtol=1e-3, atol=1e-3)
                    for other in range(NUM_ORIENTATIONS)
                ]
                assert any(matches), "each channel is another orientation's, turned"


def test_training_keeps_the_symmetry() -> None:
    network = even_network().train()
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.randn(4, 3, 97, 97)).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            assert not value.equal(before[name]), name
    make_equivariant(copy.deepcopy(network), fresh=False)
    logits = logits_of_turned(network.eval(), torch.randn(1, 3, 97, 97))
    torch.testing.assert_close(logits, logits[:1].expand(8), rtol=1e-3, atol=1e-3)


def test_statistics_are_symmetric_also_where_normalization_was_replaced() -> None:
    """As training in several processes does."""
    network = even_network().train()
    replaced = torch.nn.BatchNorm2d(64)
    network.features[1] = replaced  # type: ignore[index,operator]
    network(torch.randn(4, 3, 97, 97))
    for statistics in (replaced.running_mean, replaced.running_var):
        assert statistics is not None
        assert statistics.std() > 0
        assert statistics.equal(statistics[::8].repeat_interleave(8))


def test_the_gradient_is_that_of_the_shared_weight() -> None:
    """Against autograd through the weights' construction, times the eight places that share the gradient."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, bias=False),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 8, 3, bias=False),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Conv2d(8, 1, 1),
    )
    make_equivariant(network, fresh=True)
    pixels = torch.randn(2, 3, 7, 7)
    network(pixels).sum().backward()
    weights = [network[index].weight for index in (0, 2)]
    kernels = [
        weights[0].detach().reshape(2, 8, 3, 1, 3, 3)[:, 0].clone().requires_grad_(),
        weights[1].detach().reshape(1, 8, 2, 8, 3, 3)[:, 0].clone().requires_grad_(),
    ]
    conv = torch.nn.functional.conv2d
    hidden = conv(pixels, spread_kernels(kernels[0]).reshape(16, 3, 3, 3)).relu()
    hidden = conv(hidden, spread_kernels(kernels[1]).reshape(8, 16, 3, 3)).relu()
    network[5](hidden.mean(dim=(2, 3), keepdim=True)).sum().backward()
    for weight, kernel, shape in zip(weights, kernels, [(2, 8, 3, 1, 3, 3), (1, 8, 2, 8, 3, 3)], strict=True):
        assert weight.grad is not None
        assert kernel.grad is not None
        torch.testing.assert_close(8 * weight.grad.reshape(shape)[:, 0], kernel.grad)


def test_mean_kernels_undoes_spread_kernels_and_ignores_what_is_not_symmetric() -> None:
    torch.manual_seed(0)
    for orientations in (1, 8):
        kernels = torch.randn(2, 3, orientations, 3, 3)
        spread = spread_kernels(kernels)
        torch.testing.assert_close(mean_kernels(spread), kernels)
        noise = torch.randn_like(spread)
        uneven = noise - spread_kernels(mean_kernels(noise))
        torch.testing.assert_close(mean_kernels(spread + uneven), kernels)


def test_channels_that_are_not_in_eights_are_refused() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 12, 3))
    with pytest.raises(InputError, match=r"equivariant: expected channels in eights, but 0 has 12"):
        make_equivariant(network, fresh=True)
