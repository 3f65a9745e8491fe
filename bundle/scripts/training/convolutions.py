"""Convolutions of small grids as one product of matrices, for training on a CPU.

oneDNN's gradients of bfloat16 convolutions take several times as long as this where there are many channels and few
positions, as in a ResNet's last layers; `benchmarks/convolutions.py` measures it.
"""

from __future__ import annotations

import torch
from torch.nn.functional import linear, pad

MIN_CHANNELS = 256
"""Channels of the input and of the output."""

MAX_POSITIONS = 64
"""Positions of the output, for one patch."""


class MatmulConv2d(torch.nn.Conv2d):
    """A 3 x 3 convolution that is computed as a product of matrices where that is quicker."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve (N, C, h, w) to (N, channels, rows, cols), channels-last."""
        stride = int(self.stride[0])
        rows, cols = ((side - 1) // stride + 1 for side in input.shape[2:])
        if rows * cols > MAX_POSITIONS or not _needs_bfloat16_gradients(input):
            return super().forward(input)
        padded = pad(input.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        shifted = [
            padded[:, top : top + stride * rows : stride, left : left + stride * cols : stride]
            for top in range(3)
            for left in range(3)
        ]
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return linear(torch.cat(shifted, dim=3), weight, self.bias).permute(0, 3, 1, 2)


def use_matmul(network: torch.nn.Module) -> None:
    """Let a network's convolutions of many channels be `MatmulConv2d`; its weights and their names stay.

    Args:
        network: changed in place.
    """
    for module in network.modules():
        if type(module) is torch.nn.Conv2d and _fits(module):
            module.__class__ = MatmulConv2d


def _needs_bfloat16_gradients(input: torch.Tensor) -> bool:
    is_bfloat16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.bfloat16
    return torch.is_grad_enabled() and input.device.type == "cpu" and is_bfloat16


def _fits(module: torch.nn.Conv2d) -> bool:
    form = (module.kernel_size, module.padding, module.dilation, module.groups, module.padding_mode)
    is_usual = form == ((3, 3), (1, 1), (1, 1), 1, "zeros") and module.stride[0] == module.stride[1]
    return is_usual and min(module.in_channels, module.out_channels) >= MIN_CHANNELS
