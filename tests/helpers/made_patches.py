"""Labelled patch pictures that do not exist, and a tiny network that runs on them through the bundle's configs."""

from __future__ import annotations

import json

import numpy as np
import torch
from PIL import Image
from skimage.color import hed2rgb

from helpers.networks import TinyNetwork

TINY = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}, "patch_size": [96, 96], "picture_size": 96}


def write_patches(folder, count=24, seed=0):
    """``0`` and ``1`` with noisy pictures, tumor darker on average; and an overlay and weights. Returns their paths."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        label = index % 2
        (folder / "patches" / str(label)).mkdir(parents=True, exist_ok=True)
        brightness = rng.normal(150 - 25 * label, 25)
        pixels = np.clip(rng.normal(brightness, 30, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "patches" / str(label) / f"{index:03}.png")
    (folder / "overlay.json").write_text(json.dumps(TINY))
    torch.manual_seed(seed)
    network = TinyNetwork()
    with torch.no_grad():  # darker is more suspicious
        network.layers[1].weight.fill_(-0.5)
        network.layers[5].weight.fill_(6.0)
        network.layers[5].bias.fill_(-6.0)
    torch.save({name: value.half() for name, value in network.state_dict().items()}, folder / "tiny.pt")
    return folder / "patches", folder / "overlay.json", folder / "tiny.pt"


def tissue(count: int, side: int = 32) -> torch.Tensor:
    """(count, 3, side, side) uint8 synthetic patches of hematoxylin and eosin, each of another strength."""
    rng = np.random.default_rng(0)
    densities = np.zeros((count, side, side, 3))
    densities[..., :2] = rng.random((count, side, side, 2)) * rng.uniform(0.05, 0.12, (count, 1, 1, 2))
    pixels = np.rint(hed2rgb(densities) * 255).astype(np.uint8)
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
