from __future__ import annotations

import numpy as np
import torch

from helpers.dense_networks import unpadded_network
from scripts.network.eightfold import EightfoldRuntime
from scripts.network.runtime import TorchRuntime


def eightfold_by_hand(network: torch.nn.Module, patch: torch.Tensor) -> float:
    """The mean over a patch turned and mirrored by numpy: transposition and the two flips make all eight."""
    found = []
    for transpose in (False, True):
        for vertical in (1, -1):
            for horizontal in (1, -1):
                pixels = patch.numpy()[:, ::vertical, ::horizontal]
                pixels = np.swapaxes(pixels, 1, 2) if transpose else pixels
                with torch.no_grad():
                    found.append(network(torch.from_numpy(pixels.copy())[None]).item())
    assert len({round(value, 5) for value in found}) == 8, "the network tells all of them apart"
    return float(np.mean(found))


def test_each_patch_is_seen_in_eight_ways() -> None:
    network = unpadded_network()
    patches = torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    found = EightfoldRuntime(TorchRuntime(network, "float32"))(patches)
    assert found.shape == (3, 1, 1, 1)
    expected = [eightfold_by_hand(network, patch) for patch in patches]
    np.testing.assert_allclose(found.flatten().numpy(), expected, rtol=0, atol=1e-6)


def test_grids_are_turned_back() -> None:
    network = unpadded_network()
    tile = torch.rand(1, 3, 224 + 2 * 32, 224 + 4 * 32, generator=torch.Generator().manual_seed(1))
    found = EightfoldRuntime(TorchRuntime(network, "float32"))(tile)
    assert found.shape == (1, 1, 3, 5)
    for row, col in np.ndindex(3, 5):
        patch = tile[0, :, 32 * row : 32 * row + 224, 32 * col : 32 * col + 224]
        np.testing.assert_allclose(found[0, 0, row, col].item(), eightfold_by_hand(network, patch), rtol=0, atol=1e-6)
