"""Pretraining without labels: two views of a patch shall have the same embedding, whose numbers tell different things.

The method is Barlow Twins (Zbontar et al. 2021, https://arxiv.org/abs/2103.03230): views are random augmentations, and
the cross correlation of their projected embeddings is driven to the identity. It needs neither pairs of different
patches nor a second network, and so no larger batches than training does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import batch_norm
from torch.nn.parallel import DistributedDataParallel

from ..errors import InputError
from ..network.network import AutocastInferer
from .augmentation import Augmentation, PrepareAugmented


class PrepareViews(PrepareAugmented):
    """As `augmentation.PrepareAugmented`, but augments every patch twice.

    Args:
        patch_size: see there.
        preprocessing: see there.
        augmentation: see there.

    Raises:
        InputError: if there is no augmentation.
    """

    def __init__(self, patch_size: Sequence[int], preprocessing: Any, augmentation: Augmentation | None) -> None:
        if augmentation is None:
            raise InputError("train#augmentation must not be null: without it both views of a patch are the same")
        super().__init__(patch_size, preprocessing, augmentation)

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (2N, 3, h, w) float32 views, the first of all N patches before the second, and the N labels."""
        image = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking)
        moved = {**batchdata, "image": image}
        first, label = super().__call__(moved, device, non_blocking, **kwargs)
        second, _ = super().__call__(moved, device, non_blocking, **kwargs)
        return torch.cat([first, second]), label


class EmbeddingInferer(AutocastInferer):
    """Runs the network without its last layer, as `network.network.AutocastInferer` does, and averages over the plane.

    Args:
        precision: see `network.network.resolve_precision`.
    """

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the network.

        Args:
            inputs: (N, 3, h, w) float32.
            network: has a part ``features`` that gives (N, C, rows, cols), as MONAI's ``TorchVisionFCModel``.
            args: passed on.
            kwargs: passed on.

        Returns:
            (N, C) float32; C is 512 for a ResNet-18.

        Raises:
            InputError: if the network has no such part, or several processes train it.
        """
        if isinstance(network, DistributedDataParallel):
            raise InputError("pretraining runs in one process; leave multi_gpu_train.json out, and torchrun")
        if not isinstance(getattr(network, "features", None), torch.nn.Module):
            raise InputError(
                f"network_def: pretraining needs a network with a part named features, as TorchVisionFCModel, but "
                f"{type(network).__name__} has none"
            )
        return super().__call__(inputs, network.features, *args, **kwargs).mean(dim=(2, 3))


class TwoViewLoss(torch.nn.Module):
    """Barlow Twins' loss, with its projector: how far the views' cross correlation is from the identity.

    Embeddings go through a projector, three linear layers with batch normalization and ReLU between them, which is
    trained with the network and is of no use after it. Each number of the projection is normalized over the batch, one
    view at a time. The loss is Zbontar's divided by ``projector_width``, so that its first part does not depend on it.

    Args:
        num_features: numbers of an embedding.
        projector_width: outputs of each of the projector's layers.
        redundancy: weight of the correlations of different numbers.
        device: where it shall run.

    Raises:
        InputError: if a setting is out of its range.
    """

    def __init__(
        self,
        num_features: int = 512,
        projector_width: int = 1024,
        redundancy: float = 0.005,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        for name, count in (("num_features", num_features), ("projector_width", projector_width)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise InputError(f"{name} must be a positive integer, but got {count!r}")
        if not 0 <= redundancy < math.inf:
            raise InputError(f"redundancy must be at least 0, but got {redundancy!r}")
        self.redundancy = redundancy
        layers: list[torch.nn.Module] = []
        for num_inputs in (num_features, projector_width):
            layers.append(torch.nn.Linear(num_inputs, projector_width, bias=False))
            layers += [torch.nn.BatchNorm1d(projector_width), torch.nn.ReLU(inplace=True)]
        layers.append(torch.nn.Linear(projector_width, projector_width, bias=False))
        self.projector = torch.nn.Sequential(*layers).to(device)

    def forward(self, pred: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the loss.

        Args:
            pred: (2N, num_features) float32 embeddings, the first views of N patches before their second.
            label: has no part.

        Returns:
            () float32.

        Raises:
            InputError: if there is but one patch, or embeddings have another size.
        """
        if len(pred) < 4:
            raise InputError("pretraining compares the patches of a step, and this one has 1; raise batch_size")
        width = self.projector[0].in_features
        if pred.shape[1] != width:
            raise InputError(f"loss#num_features must be {pred.shape[1]}, as of the network's features, but is {width}")
        first, second = (self.projector(view) for view in pred.float().chunk(2))
        return decorrelation_loss(first, second, self.redundancy)


def decorrelation_loss(first: torch.Tensor, second: torch.Tensor, redundancy: float) -> torch.Tensor:
    """Distance of two views' cross correlation from the identity.

    Args:
        first: (N, D) float32, of one view of each patch.
        second: (N, D) float32, of the other.
        redundancy: weight of what is off the diagonal.

    Returns:
        () float32: sum of (1 - C[i, i])² and ``redundancy`` times the sum of C[i, j]², i ≠ j, both divided by D.
    """
    normalized = [batch_norm(view, None, None, training=True) for view in (first, second)]
    correlation = normalized[0].T @ normalized[1] / len(first)
    diagonal = correlation.diagonal()
    others = correlation.square().sum() - diagonal.square().sum()
    total: torch.Tensor = (1 - diagonal).square().sum() + redundancy * others
    return total / len(diagonal)


def all_parameters(modules: Sequence[torch.nn.Module]) -> Iterator[torch.nn.Parameter]:
    """The parameters of several modules, one module after the other, for an optimizer."""
    for module in modules:
        yield from module.parameters()
