"""The highest values of a network's activations, which is what it takes to compute it in whole numbers of 8 bits.

What a ReLU gives lies between 0 and a highest value, so 256 steps stand for it. Jacob et al., Quantization and Training
of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018, https://arxiv.org/abs/1712.05877.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from monai.networks import eval_mode

_KEPT_AS = "activation_tops"
_MARGIN = 1.25
"""Slides differ from the training patches: 256 steps reach this much further than the highest value there."""

_KINDS = (torch.nn.ReLU, torch.nn.ReLU6)

Tops = tuple[tuple[str, tuple[float, ...]], ...]
"""For each ReLU its name and the highest value of each time that it is used in a forward pass."""


def measure_tops(network: torch.nn.Module, batches: Iterable[torch.Tensor]) -> dict[str, list[float]]:
    """Measure the highest activations.

    Args:
        network: the network.
        batches: (N, 3, h, w) float32 inputs on its device.

    Returns:
        For each ReLU, by its name in the network, the highest value of each time that it is used in a forward pass;
        empty for a network without any.
    """
    tops: dict[str, list[float]] = {}

    def note(name: str, call: int, output: torch.Tensor) -> None:
        found = tops.setdefault(name, [])
        found.extend([0.0] * (call + 1 - len(found)))
        found[call] = max(found[call], round(float(output.detach().amax()), 4))

    with torch.no_grad(), eval_mode(network):
        for batch in batches:
            with _listening(network, note):
                network(batch)
    return tops


def keep_tops(network: torch.nn.Module, tops: Mapping[str, Sequence[float]] | None) -> None:
    """Let a network carry its highest activations, if they are those of its ReLUs; else it carries none."""
    fits = bool(tops) and (tops or {}).keys() == {name for name, _ in _relus(network)}
    kept = tuple((name, tuple(map(float, values))) for name, values in (tops or {}).items())
    setattr(network, _KEPT_AS, kept if fits else ())


def kept_tops(network: Any) -> Tops:
    """What `keep_tops` left with a network; empty if nothing."""
    found: Tops = getattr(network, _KEPT_AS, ())
    return found


@contextlib.contextmanager
def rounded_activations(network: torch.nn.Module, tops: Tops) -> Iterator[None]:
    """Let each ReLU of a network round what it gives to 256 steps, as long as the context lasts.

    Args:
        network: the network.
        tops: its highest activations. What exceeds them by a quarter is cut off there.
    """
    highest = dict(tops)

    def round_to_steps(name: str, call: int, output: torch.Tensor) -> torch.Tensor:
        step = max(highest[name][call % len(highest[name])], 1e-6) * _MARGIN / 255
        return torch.fake_quantize_per_tensor_affine(output, step, 0, 0, 255)

    with _listening(network, round_to_steps):
        yield


def _relus(network: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    return [(name, module) for name, module in network.named_modules() if isinstance(module, _KINDS)]


@contextlib.contextmanager
def _listening(
    network: torch.nn.Module, listen: Callable[[str, int, torch.Tensor], torch.Tensor | None]
) -> Iterator[None]:
    """Call ``listen`` with a ReLU's name, how often it was used before, and what it gives, which may be replaced."""
    handles = []
    for name, module in _relus(network):
        calls = itertools.count()

        def hook(_: Any, __: Any, output: torch.Tensor, name: str = name, calls: Iterator[int] = calls) -> Any:
            return listen(name, next(calls), output)

        handles.append(module.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
