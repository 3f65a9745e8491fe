"""Learning from a teacher: the network follows the logits of other, trained networks instead of labels.

The mean of several networks ranks patches better than each of them, and a single network may keep some of that if it
follows the mean on patches changed at random (Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Beyer et al. 2022,
https://arxiv.org/abs/2106.05237: teacher and student see the same changes and mixed patches).
`docs/experiments.md` says what it brought here.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from ..errors import InputError
from ..geometry import PATCH_SIZE
from ..network.network import AutocastInferer, prepare_network
from ..network.orientations import NUM_ORIENTATIONS, center_crop, orient
from .augmentation import PrepareAugmented
from .jitter import SharpnessJitter


class MeanOfNetworks(torch.nn.Module):
    """The mean of several networks' logits.

    Args:
        networks: the networks, at least one.
        turns: in how many of the eight orientations, drawn for each patch, they see it; the mean counts. 0 is the patch
            as it is. What a network learns from them over the steps is then the mean over all eight orientations.

    Raises:
        InputError: if ``turns`` is no integer from 0 to 8.
    """

    def __init__(self, networks: Sequence[torch.nn.Module], turns: int = 0) -> None:
        super().__init__()
        if isinstance(turns, bool) or turns not in range(NUM_ORIENTATIONS + 1):
            raise InputError(f"teacher_turns must be an integer from 0 to {NUM_ORIENTATIONS}, but got {turns!r}")
        self.networks = torch.nn.ModuleList(networks)
        self.turns = turns

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run all of them.

        Args:
            inputs: (N, 3, h, w) float32.

        Returns:
            (N, 1, rows, cols) float32 logits; of patches, (N, 1, 1, 1).

        Raises:
            InputError: if patches are turned that are not square.
        """
        if not self.turns:
            return self._mean(inputs)
        if inputs.shape[2] != inputs.shape[3]:
            raise InputError(f"teacher_turns needs square patches, but patch_size is {list(inputs.shape[2:])}; give 0")
        kinds = torch.rand(len(inputs), NUM_ORIENTATIONS).argsort(dim=1)[:, : self.turns]
        return torch.stack([self._mean(orient(inputs, of_each)) for of_each in kinds.T]).mean(dim=0)

    def _mean(self, inputs: torch.Tensor) -> torch.Tensor:
        logits = [network(inputs).float() for network in self.networks]
        return torch.stack([each[:, :, None, None] if each.ndim == 2 else each for each in logits]).mean(dim=0)


def mean_of_given(teachers: Sequence[torch.nn.Module | None], turns: int = 0) -> MeanOfNetworks | None:
    """The mean of those teachers that there are, or None where there is none.

    Args:
        teachers: see `make_teacher` and `make_fine_teacher`.
        turns: see `MeanOfNetworks`.

    Raises:
        InputError: see `MeanOfNetworks`.
    """
    given = [teacher for teacher in teachers if teacher is not None]
    mean = MeanOfNetworks(given, turns)
    return mean.eval() if given else None


def make_teacher(
    network: torch.nn.Module,
    device: torch.device,
    weights: str | Path | Sequence[str | Path] | None,
    mpp: float,
    patch_size: int | Sequence[int] = PATCH_SIZE,
) -> MeanOfNetworks | None:
    """Copies of a network with weights of their own, which training leaves as they are.

    Args:
        network: the network; left as it is.
        device: where the copies shall run.
        weights: a plain state dict for each copy, or None for no teacher.
        mpp: µm per pixel of what they see, for which the weights must be.
        patch_size: side of their patches in pixels, or (height, width).

    Raises:
        InputError: if the list is empty, and see `network.network.prepare_network`.
    """
    if weights is None:
        return None
    paths = [weights] if isinstance(weights, (str, Path)) else list(weights)
    if not paths:
        raise InputError("teacher: expected a file of weights, or a list of some, but the list is empty; name one")
    networks = [prepare_network(copy.deepcopy(network), device, path, mpp, patch_size, "train.json") for path in paths]
    return MeanOfNetworks(networks).eval().requires_grad_(False)


def make_other_teacher(
    network: torch.nn.Module | None,
    device: torch.device,
    weights: str | Path | Sequence[str | Path] | None,
    mpp: float,
    patch_size: int | Sequence[int] = PATCH_SIZE,
) -> MeanOfNetworks | None:
    """As `make_teacher`, for a network of another kind than the one that learns; None where neither is given.

    Args:
        network: the network; left as it is.
        device: see `make_teacher`, as the next three.
        weights: of each copy.
        mpp: of what they see.
        patch_size: of their patches.

    Raises:
        InputError: if only one of network and weights is given, and see `make_teacher`.
    """
    if network is None and weights is not None:
        raise InputError("other_teacher_def: other_teacher needs the network of its weights; give it, as network_def")
    if network is not None and weights is None:
        raise InputError("other_teacher: other_teacher_def needs weights; give a file of them, or a list of some")
    return None if network is None else make_teacher(network, device, weights, mpp, patch_size)


class Enlarged(torch.nn.Module):
    """A network of a finer resolution, which sees the central part of coarser patches enlarged (bicubic).

    Args:
        network: the network.
        patch_size: (height, width) of its patch in pixels.
        factor: how many times finer its pixels are.
        low: least value of a pixel, below which enlarging shall not fall.
        high: greatest value.

    Raises:
        InputError: if ``patch_size`` is no multiple of ``factor``.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        patch_size: Sequence[int] = (PATCH_SIZE, PATCH_SIZE),
        factor: int = 4,
        low: float = -1.0,
        high: float = 1.0,
    ) -> None:
        super().__init__()
        if any(side % factor for side in patch_size):
            raise InputError(f"factor must divide patch_size, {list(patch_size)}, but is {factor}")
        self.network = network
        self.size = (patch_size[0] // factor, patch_size[1] // factor)
        self.factor, self.low, self.high = factor, low, high

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Enlarge and run.

        Args:
            inputs: (N, 3, h, w) float32, at least ``patch_size / factor``.

        Returns:
            (N, 1, 1, 1) logits.
        """
        part = center_crop(inputs, self.size)
        fine = interpolate(part, scale_factor=self.factor, mode="bicubic").clamp(self.low, self.high)
        output: torch.Tensor = self.network(fine.contiguous(memory_format=torch.channels_last))
        return output


def make_fine_teacher(
    network: torch.nn.Module,
    device: torch.device,
    weights: str | Path | Sequence[str | Path] | None,
    mpp: float,
    factor: int = 4,
) -> Enlarged | None:
    """As `make_teacher`, for networks of finer pixels: `Enlarged`.

    Args:
        network: see `make_teacher`, as the next two.
        device: where the copies shall run.
        weights: of each copy.
        mpp: µm per pixel of what is enlarged.
        factor: how many times finer the networks' pixels are.

    Raises:
        InputError: see `make_teacher`.
    """
    teacher = make_teacher(network, device, weights, mpp / factor)
    return None if teacher is None else Enlarged(teacher, factor=factor).eval()


class PrepareMixed(PrepareAugmented):
    """As `augmentation.PrepareAugmented`; then some patches get another patch of the batch laid over them.

    Mixed patches (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) have no labels that are known, but a teacher's
    logits. A patch keeps half of its weight at least, and its label, which serves the metrics alone. MONAI's ``MixUp``
    mixes every patch, refuses an epoch's shorter last step, and draws from NumPy, which `handlers.EpochSeed` does not
    seed.

    Args:
        mix_prob: share of the patches that are mixed.
        arguments: see `augmentation.PrepareAugmented`.

    Raises:
        InputError: if ``mix_prob`` is not from 0 to 1.
    """

    def __init__(self, mix_prob: float = 0.0, **arguments: Any) -> None:
        super().__init__(**arguments)
        if not 0 <= mix_prob <= 1:
            raise InputError(f"mix_prob must be from 0 to 1, but got {mix_prob!r}")
        self.mix_prob = mix_prob

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, 3, h, w) float32 patches and their (N, 1, 1, 1) float32 labels, on the device."""
        pixels, label = super().__call__(batchdata, device, non_blocking, **kwargs)
        if not self.mix_prob:
            return pixels, label
        count = len(pixels)
        share = torch.rand(count) / 2 * (torch.rand(count) < self.mix_prob)
        others = pixels[torch.randperm(count).to(pixels.device)]
        return torch.lerp(pixels, others, share.to(pixels.device)[:, None, None, None]), label


class TaughtInferer(Inferer):
    """Runs the network and its teacher.

    Args:
        teachers: see `mean_of_given`.
        precision: see `network.network.resolve_precision`.
        teacher_turns: see `MeanOfNetworks`.
        jitter: changes what the network alone sees, so that it learns to bear what its teacher need not; None for
            nothing.

    Raises:
        InputError: if there is no teacher, and see `MeanOfNetworks`.
    """

    def __init__(
        self,
        teachers: Sequence[torch.nn.Module | None],
        precision: str = "auto",
        teacher_turns: int = 0,
        jitter: SharpnessJitter | None = None,
    ) -> None:
        teacher = mean_of_given(teachers, teacher_turns)
        if teacher is None:
            raise InputError("teacher: expected a file of weights, or a list of some; give --teacher \"['a.pt']\"")
        self.teacher = teacher
        self.jitter = jitter
        self.forward = AutocastInferer(precision)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run both.

        Args:
            inputs: (N, 3, h, w) float32.
            network: gives (N, 1, rows, cols) logits.
            args: passed on to the network.
            kwargs: passed on to the network.

        Returns:
            (N, 2, rows, cols) float32: the network's logits, then the teacher's.
        """
        with torch.no_grad():
            wanted = self.forward(inputs, self.teacher)
        inputs = inputs if self.jitter is None else self.jitter(inputs)
        return torch.cat([self.forward(inputs, network, *args, **kwargs), wanted], dim=1)


class TeacherLoss(torch.nn.Module):
    """Binary cross entropy between a network's and its teacher's probabilities. Labels have no part in it."""

    def forward(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            pred: (N, 2, rows, cols) of `TaughtInferer`.
            label: not used.

        Returns:
            () float32.
        """
        return binary_cross_entropy_with_logits(pred[:, :1], pred[:, 1:].sigmoid())
