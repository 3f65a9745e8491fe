"""Small networks that run over a tile as the bundle's does: a logit every 32 pixels, each of a patch of 224."""

from __future__ import annotations

import torch


def unpadded_network(seed: int = 5, side: int = 7) -> torch.nn.Module:
    """Sees nothing beyond the patch: over a tile it gives exactly what it gives for each patch.

    Args:
        seed: of its weights.
        side: of the patch, in steps of 32 pixels.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 8, stride=8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(6, 4, 4, stride=4),
            torch.nn.ReLU(),
            torch.nn.Conv2d(4, 1, side),
        ).eval()


def padded_network(seed: int = 11, bias: float = 0.0, scale: float = 1.0) -> torch.nn.Module:
    """Pads with zeros: over a tile its logits differ from those for each patch.

    Args:
        seed: of its weights.
        bias: added to the logits.
        scale: the logits are multiplied with it before.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        last = torch.nn.Conv2d(4, 1, 7)
        network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 7, stride=8, padding=3),
            torch.nn.ReLU(),
            torch.nn.Conv2d(6, 4, 5, stride=4, padding=2),
            torch.nn.ReLU(),
            last,
        ).eval()
        with torch.no_grad():
            last.weight *= scale
            last.bias.mul_(scale).add_(bias)  # type: ignore[union-attr]
        return network
