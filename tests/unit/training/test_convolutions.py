from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.training.convolutions import MAX_POSITIONS, MIN_CHANNELS, MatmulConv2d, use_matmul


@settings(deadline=None, max_examples=20)
@given(
    rows=st.integers(1, 8),
    cols=st.integers(1, 8),
    stride=st.integers(1, 3),
    bias=st.booleans(),
    channels_last=st.booleans(),
)
def test_gives_what_torch_gives_and_its_gradients(
    rows: int, cols: int, stride: int, bias: bool, channels_last: bool
) -> None:
    torch.manual_seed(rows + 8 * cols)
    plain = torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1, stride=stride, bias=bias).double()
    quick = copy.deepcopy(plain)
    use_matmul(quick)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    pixels = [
        torch.randn(2, MIN_CHANNELS, rows, cols, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        .contiguous(memory_format=layout)
        .requires_grad_()
        for _ in range(2)
    ]
    with torch.autocast("cpu", torch.bfloat16):  # which leaves float64 alone
        outputs = [network(values) for network, values in zip((plain, quick), pixels, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    weight = torch.randn(outputs[0].shape, dtype=torch.float64)
    for output in outputs:
        (output * weight).sum().backward()
    torch.testing.assert_close(pixels[1].grad, pixels[0].grad)
    for found, expected in zip(quick.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_it_is_the_product_of_matrices_where_that_is_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1)
    use_matmul(layer)
    calls: list[int] = []
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda self, pixels: calls.append(pixels.shape[2]) or pixels)
    side = int(MAX_POSITIONS**0.5)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.zeros(1, MIN_CHANNELS, side, side))
        assert calls == []
        layer(torch.zeros(1, MIN_CHANNELS, side + 1, side))
        with torch.no_grad():
            layer(torch.zeros(1, MIN_CHANNELS, 2, 2))
    layer(torch.zeros(1, MIN_CHANNELS, 3, 3))
    assert calls == [side + 1, 2, 3], "large grids, inference and float32 are torch's"


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 1),
        torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3),
        torch.nn.Conv2d(MIN_CHANNELS // 2, MIN_CHANNELS, 3, padding=1),
        torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1, groups=2),
        torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1, stride=(1, 2)),
        torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding=2, dilation=2),
        torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding="same"),
        torch.nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, padding=1, padding_mode="reflect"),
    ],
)
def test_other_layers_stay(layer: torch.nn.Conv2d) -> None:
    use_matmul(layer)
    assert not isinstance(layer, MatmulConv2d)
