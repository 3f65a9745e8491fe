"""A network that sees a patch and its turned and mirrored images alike, by the symmetry of its weights.

The group convolutions of Cohen and Welling (2016), https://arxiv.org/abs/1602.07576, which Veeling et al. (2018),
https://arxiv.org/abs/1806.03962, used on PatchCamelyon. Eight neighboring channels hold one feature in the eight
orientations of a square, so a weight is used in eight places, turned. The network keeps its shape: the weights are
those of a plain ResNet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from .errors import InputError
from .orientations import NUM_ORIENTATIONS, turn


def _product_table() -> list[list[int]]:
    """``table[a][b]``: the orientation that a square has which was brought to ``b`` first, and then to ``a``."""
    square = torch.arange(4).reshape(2, 2)
    seen = {tuple(turn(square, kind).flatten().tolist()): kind for kind in range(NUM_ORIENTATIONS)}
    return [
        [seen[tuple(turn(turn(square, second), first).flatten().tolist())] for second in range(NUM_ORIENTATIONS)]
        for first in range(NUM_ORIENTATIONS)
    ]


_PRODUCTS = _product_table()
_INVERSES = [row.index(0) for row in _PRODUCTS]


def spread_kernels(kernels: torch.Tensor) -> torch.Tensor:
    """Weights of a convolution from the kernels that make its output's first orientation.

    Args:
        kernels: (out features, in features, in orientations, k, k); one orientation in is an image without any.

    Returns:
        (out features, 8, in features, in orientations, k, k).
    """
    count, features, orientations, *sides = kernels.shape
    weight = kernels.new_empty((count, NUM_ORIENTATIONS, *sides, features, orientations)).permute(0, 1, 4, 5, 2, 3)
    for kind, products in enumerate(_PRODUCTS):
        weight[:, kind, :, products if orientations > 1 else [0]] = turn(kernels, kind)
    return weight


def mean_kernels(weight: torch.Tensor) -> torch.Tensor:
    """The kernels that `spread_kernels` brings nearest to given weights.

    Args:
        weight: (out features, 8, in features, in orientations, k, k).

    Returns:
        (out features, in features, in orientations, k, k).
    """
    total = torch.zeros_like(weight[:, 0])
    for kind, products in enumerate(_PRODUCTS):
        part = weight[:, kind]
        total += turn(part[:, :, products] if weight.shape[3] > 1 else part, _INVERSES[kind])
    return total / NUM_ORIENTATIONS


def make_equivariant(network: torch.nn.Module, *, fresh: bool) -> None:
    """Make a network's weights symmetric, and keep them so while it is trained.

    Gradients are averaged over the places where a weight is used, which is the gradient of that weight; so is every
    optimizer's step, and the moving average of weights. The running statistics of batch normalization are averaged
    likewise.

    With sides of an even number of pixels, layers of stride 2 are symmetric but for half a pixel.

    Args:
        network: convolutions without bias and batch normalizations, the last layer a 1 x 1 convolution to one output;
            changed in place.
        fresh: whether its weights are random yet, so that any of them may be taken; otherwise they must be symmetric.

    Raises:
        InputError: if channels are no multiple of 8, or ``fresh`` is False and the weights are not symmetric.
    """
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            weight, orientations = module.weight, _orientations(name, module)
            if fresh:
                weight.data.copy_(_first_weight(weight.data, *orientations))
            _tie(f"{name}.weight", weight, partial(_mean_weight, out=orientations[0], into=orientations[1]))
        elif isinstance(module, torch.nn.BatchNorm2d):
            for part, values in module.named_parameters(recurse=False):
                _tie(f"{name}.{part}", values, _mean_channels)
    network.register_forward_hook(_average_statistics)


def _tie(name: str, values: torch.Tensor, mean: Callable[[torch.Tensor], torch.Tensor]) -> None:
    if not torch.allclose(mean(values.data), values.data, rtol=0.01, atol=1e-4):
        raise InputError(
            f"{name}: expected weights that are the same in eight orientations, found others; start from weights that "
            "were trained with equivariant set, or from none"
        )
    values.register_hook(mean)  # type: ignore[no-untyped-call]


def _orientations(name: str, module: torch.nn.Conv2d) -> tuple[int, int]:
    """How many orientations there are among a convolution's output and input channels: 8, or 1 for none."""
    kinds = []
    for channels, plain in ((module.out_channels, 1), (module.in_channels, 3)):
        if channels != plain and channels % NUM_ORIENTATIONS:
            raise InputError(
                f"equivariant: expected channels in eights, but {name} has {channels}; set equivariant to false"
            )
        kinds.append(1 if channels == plain else NUM_ORIENTATIONS)
    return kinds[0], kinds[1]


def _mean_weight(weight: torch.Tensor, out: int, into: int) -> torch.Tensor:
    """A convolution's weight, each the mean over the places where it is used."""
    view = _by_orientation(weight, out, into)
    if out == 1:
        return view.mean(dim=3, keepdim=True).expand(view.shape).reshape(weight.shape)
    return spread_kernels(mean_kernels(view)).reshape(weight.shape)


def _first_weight(weight: torch.Tensor, out: int, into: int) -> torch.Tensor:
    """A convolution's weight, each that of the first place where it is used."""
    view = _by_orientation(weight, out, into)
    if out == 1:
        return view[:, :, :, :1].expand(view.shape).reshape(weight.shape)
    return spread_kernels(view[:, 0]).reshape(weight.shape)


def _by_orientation(weight: torch.Tensor, out: int, into: int) -> torch.Tensor:
    """(out features, out orientations, in features, in orientations, k, k)."""
    count_out, count_in, *sides = weight.shape
    return weight.reshape(count_out // out, out, count_in // into, into, *sides)


def _mean_channels(values: torch.Tensor) -> torch.Tensor:
    """(channels,): each the mean over its eight orientations."""
    return values.reshape(-1, NUM_ORIENTATIONS).mean(dim=1).repeat_interleave(NUM_ORIENTATIONS)


def _average_statistics(network: torch.nn.Module, inputs: Any, output: Any) -> None:
    """Of all batch normalizations, also those that have been replaced since; autograd does not need their values."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.training:
            for statistics in (module.running_mean, module.running_var):
                if statistics is not None:
                    statistics.data.copy_(_mean_channels(statistics))
