"""What OpenVINO computes in whole numbers, against the same steps in plain PyTorch."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from monai.networks.nets import TorchVisionFCModel

from scripts.network.activations import keep_tops, kept_tops, measure_tops
from scripts.network.conversion import convert
from scripts.network.preprocessing import Scaling
from scripts.network.runtime import OpenVINORuntime

SCALING = Scaling(2 / 255, -1.0)


def pixels(height: int = 96, width: int = 128) -> torch.Tensor:
    values = torch.randint(0, 256, (2, 3, height, width), generator=torch.Generator().manual_seed(1))
    return values.to(torch.uint8).contiguous(memory_format=torch.channels_last)


def chain(act: type[torch.nn.Module] = torch.nn.ReLU) -> torch.nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layers = [
            torch.nn.Conv2d(3, 8, 5, stride=2, padding=2),
            act(),
            torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(8, 16, 3, padding=1),
            act(),
            torch.nn.AvgPool2d(2),
            torch.nn.Conv2d(16, 1, 3),
        ]
        network = torch.nn.Sequential(*layers).eval()
    keep_tops(network, measure_tops(network, [SCALING.apply(pixels())]))
    return network


def rounded(value: torch.Tensor, step: torch.Tensor | float, low: int, high: int) -> torch.Tensor:
    return (value / step).round().clamp(low, high) * step


def rounded_weights(weight: torch.Tensor) -> torch.Tensor:
    return rounded(weight, weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 64, -64, 64)


def by_hand(network: torch.nn.Sequential, images: torch.Tensor) -> torch.Tensor:
    """The steps in float64: weights and activations are rounded, sums are exact, and the pixels' zero is 127."""
    value, tops = (images.double() - 127) * SCALING.factor, iter(top for _, (top,) in kept_tops(network))
    for layer in network:
        if isinstance(layer, torch.nn.Conv2d):
            is_last = layer is network[-1]  # after an average, which is no whole number of steps
            weight, bias = layer.weight.double(), layer.bias
            weight = weight if is_last else rounded_weights(weight)
            assert bias is not None
            value = torch.nn.functional.conv2d(
                value,
                weight,
                bias.double(),
                stride=layer.stride,
                padding=layer.padding,  # type: ignore[arg-type]
            )
        elif isinstance(layer, torch.nn.ReLU):
            value = rounded(value, next(tops) * 1.25 / 255, 0, 255)
        else:
            value = layer(value)
    return value


def test_whole_numbers_are_those_computed_by_hand() -> None:
    network, images = chain(), pixels()
    with torch.no_grad():
        exact, expected = network(SCALING.apply(images)), by_hand(network, images).float()
    found = OpenVINORuntime(network, "int8", SCALING)(images)
    error = float((expected - exact).abs().mean())
    assert error > 1e-4, "rounding changes something"
    # a value midway between two steps may go either way
    assert float((found - expected).abs().mean()) < 0.02 * error
    assert float((found - exact).abs().max()) < 10 * error


def kinds(model: Any) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ordered_ops())


def test_without_tops_a_model_stays_in_floating_point() -> None:
    network = chain()
    assert kinds(convert(network, SCALING, 96))["FakeQuantize"] == 0
    assert kinds(convert(network, SCALING, 96, kept_tops(network)))["FakeQuantize"] == 2 + 2
    assert not any(module._forward_hooks for module in network), "left as it was"


def test_weights_over_values_that_are_not_rounded_stay_exact() -> None:
    network = chain()
    # a model that takes floating-point pixels: those of its first layer are not rounded
    assert kinds(convert(network, None, 96, kept_tops(network)))["FakeQuantize"] == 2 + 1
    mixed = torch.nn.Sequential(*chain(torch.nn.GELU)[:3], *network[3:])
    keep_tops(mixed, measure_tops(mixed, [SCALING.apply(pixels())]))
    # the second convolution follows a GELU
    assert kinds(convert(mixed, SCALING, 96, kept_tops(mixed)))["FakeQuantize"] == 1 + 1


@pytest.mark.parametrize("has_tops", [True, False])
def test_each_layer_of_a_resnet_computes_in_whole_numbers(has_tops: bool) -> None:
    pool = ("avg", {"kernel_size": 3, "stride": 1})
    network = TorchVisionFCModel("resnet18", num_classes=1, use_conv=True, pool=pool, pretrained=False).eval()
    if has_tops:
        keep_tops(network, measure_tops(network, [SCALING.apply(pixels())]))
    runtime = OpenVINORuntime(network, "int8" if has_tops else "float32", SCALING, 96)
    compiled = runtime._requests.get().get_compiled_model().get_runtime_model()
    found = Counter(
        node.get_rt_info()["runtimePrecision"].value
        for node in compiled.get_ordered_ops()
        if node.get_rt_info()["layerType"].value == "Convolution"
    )
    assert found == ({"u8": 20, "f32": 1} if has_tops else {"f32": 21}), "the last follows an average"
