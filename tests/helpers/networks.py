"""The bundle's network, and others in its place for tests of what is around it; ``network_def`` names them."""

from __future__ import annotations

import torch
from monai.networks.nets import TorchVisionFCModel


def fc_network() -> torch.nn.Module:
    """The network of ``train.json``, of random weights."""
    pool = ("avg", {"kernel_size": 7, "stride": 1})
    return TorchVisionFCModel("resnet18", num_classes=1, use_conv=True, pool=pool, pretrained=False)


class TinyNetwork(torch.nn.Module):
    """Learns something in milliseconds: (N, 3, h, w) to (N, 1, 1, 1) logits, as the bundle's network."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.AvgPool2d(8),
            torch.nn.Conv2d(3, 4, 3),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Conv2d(4, 1, 1),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(pixels)
        return logits


class CentralColor(torch.nn.Module):
    """Tells the color at a patch's center: the mean over its middle two by two pixels, -1 to 1, as a logit.

    Args:
        channel: 0 red, 1 green, 2 blue.
    """

    def __init__(self, channel: int = 0) -> None:
        super().__init__()
        self.channel = channel

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        row, col = pixels.shape[2] // 2, pixels.shape[3] // 2
        middle = pixels[:, self.channel : self.channel + 1, row - 1 : row + 1, col - 1 : col + 1]
        return middle.mean(dim=(2, 3), keepdim=True)
