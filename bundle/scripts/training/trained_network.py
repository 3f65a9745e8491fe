"""The network as it is trained: parts that stay as they are, and quicker gradients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import InputError
from ..network.network import prepare_network
from .convolutions import use_matmul


def prepare_trained_network(
    network: torch.nn.Module,
    device: torch.device,
    weights: str | Path | None = None,
    frozen: Sequence[str] = (),
) -> torch.nn.Module:
    """Put a network on its device, ready to be trained.

    Args:
        network: the network; changed in place.
        device: where it shall be trained.
        weights: a plain state dict, or None to keep the network's own.
        frozen: names of parts that training leaves as they are, see `freeze`.

    Returns:
        The network.

    Raises:
        InputError: see `network.network.load_weights` and `freeze`.
    """
    prepare_network(network, device, weights)
    freeze(network, frozen)
    if device.type == "cpu":
        use_matmul(network)
    return network


def freeze(network: torch.nn.Module, names: Sequence[str]) -> None:
    """Exclude parts of a network from training: neither their weights nor their running statistics change.

    Args:
        network: the network; changed in place.
        names: names of modules, such as ``features.0``, or of parameters, such as a transformer's ``class_token``.

    Raises:
        InputError: if the network has no part of a name.
    """
    modules, parameters = dict(network.named_modules()), dict(network.named_parameters())
    for name in names:
        if name in parameters:
            parameters[name].requires_grad_(False)
            continue
        if name not in modules:
            raise InputError(
                f"frozen: the network has no part {name!r}; it has {', '.join(filter(None, modules))[:200]}"
            )
        modules[name].requires_grad_(False)
        for module in modules[name].modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = 0.0
