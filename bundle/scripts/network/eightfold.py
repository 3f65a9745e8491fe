"""Test-time augmentation: the mean over the eight ways to flip and turn a square."""

from __future__ import annotations

import torch

from .runtime import Runtime


class EightfoldRuntime:
    """The mean logit over the four turns of the pixels and of their mirror image.

    Means are of logits: they need no clipping near 0 and 1. A grid of logits is turned back before it is added.

    Args:
        runtime: what computes the network.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.name = runtime.name
        self.dtype = runtime.dtype
        self.num_streams = runtime.num_streams

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute mean logits; see `runtime.Runtime`."""
        ways = [(turns, mirror) for mirror in (False, True) for turns in range(4)]
        return torch.stack([self._turned(pixels, *way) for way in ways]).mean(dim=0)

    def _turned(self, pixels: torch.Tensor, turns: int, mirror: bool) -> torch.Tensor:
        seen = pixels.flip(3) if mirror else pixels
        logits = torch.rot90(self.runtime(torch.rot90(seen, turns, (2, 3))), -turns, (2, 3))
        return logits.flip(3) if mirror else logits
