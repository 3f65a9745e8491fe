"""Random changes of training patches, made on whole batches where the network runs, each patch with its own numbers.

Per-sample transforms cost more than reading and, on a GPU, more than training. Here the color jitter of a patch is one
affine map of its colors, its stain jitter one affine map of its optical densities, and turning, zooming and cutting one
resampling at most. `docs/decisions/0002-augmentation.md` says how this differs from the per-sample transforms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.data import get_track_meta, set_track_meta
from monai.engines.utils import PrepareBatch
from torch.nn.functional import grid_sample, interpolate

from ..errors import InputError
from ..network.orientations import NUM_ORIENTATIONS, center_crop, orient, orientation_maps
from ..network.preprocessing import find_scaling
from .jitter import ColorJitter, StainJitter, check_range, uniform

_BLOCK = 8
"""Patches that a CPU changes at a time: what stays in its cache is changed several times as fast as a whole batch."""


class Augmentation:
    """All random changes of a batch: eight orientations, zoom, turn and shift, stain, color; then the central patch.

    Args:
        patch_size: (height, width) of the result in pixels; at most the input's.
        color: jitter of colors, or None.
        stain: jitter of stains, or None.
        zoom: (smallest, largest) enlargement.
        turn: largest free turn to either side, in degrees.
        shift: largest shift along each axis, in pixels.
        resample_prob: share of the patches that are zoomed, turned and shifted.
        blur_prob: share of the batches, or of a CPU's blocks of them, that lose detail: made two or four times coarser
            and enlarged again.

    Raises:
        InputError: if a setting is out of its range.
    """

    def __init__(
        self,
        patch_size: Sequence[int],
        color: ColorJitter | None = None,
        stain: StainJitter | None = None,
        zoom: Sequence[float] = (0.9, 1.1),
        turn: float = 0.0,
        shift: float = 0.0,
        resample_prob: float = 0.5,
        blur_prob: float = 0.0,
    ) -> None:
        if len(zoom) != 2 or not 0 < zoom[0] <= zoom[1]:
            raise InputError(f"zoom must be two growing positive numbers, but got {list(zoom)}")
        for name, value in (("resample_prob", resample_prob), ("blur_prob", blur_prob)):
            check_range(name, value, 1)
        check_range("turn", turn, 180)
        check_range("shift", shift, math.inf)
        self.patch_size = (int(patch_size[0]), int(patch_size[1]))
        self.color, self.stain = color, stain
        self.zoom, self.turn, self.shift = zoom, turn, shift
        self.resample_prob, self.blur_prob = resample_prob, blur_prob

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Augment.

        Args:
            patches: (N, 3, H, W) uint8 RGB, H = W.

        Returns:
            (N, 3, h, w) float32 RGB in [0, 255].
        """
        return self.with_labels(patches, torch.zeros(len(patches), 1, 1, 1))[0]

    def with_labels(self, patches: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment patches that have a grid of labels, which take the patches' orientations.

        Zoom, turn and shift move a patch under its grid: they are for a label in the middle alone.

        Args:
            patches: (N, 3, H, W) uint8 RGB, H = W.
            labels: (N, 1, rows, cols), rows = cols.

        Returns:
            (N, 3, h, w) float32 RGB in [0, 255], and the labels.
        """
        kinds = torch.randint(NUM_ORIENTATIONS, (len(patches),))
        output = self._sample(patches, kinds)
        if torch.rand(()) < self.blur_prob:
            output = _blur(output, int(2 ** torch.randint(1, 3, ())))
        for jitter in (self.stain, self.color):
            if jitter is not None:
                output = jitter(output)
        return output, orient(labels, kinds) if labels[0].numel() > 1 else labels

    def _sample(self, patches: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Oriented central patches; the first ones resampled, since the order of a batch is random already."""
        output = torch.empty((len(patches), patches.shape[1], *self.patch_size), device=patches.device)
        count = int((torch.rand(len(patches)) < self.resample_prob).sum())
        if count:
            output[:count] = self._resample(patches[:count], kinds[:count])
        if count < len(patches):
            orient(patches[count:], kinds[count:], output[count:])
        return output

    def _resample(self, patches: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        count = len(patches)
        zoom, angle = uniform(count, *self.zoom), torch.deg2rad(uniform(count, -self.turn, self.turn))
        shifts = torch.stack([uniform(count, -self.shift, self.shift) for _ in range(2)], dim=1)
        theta = _sampling_map(zoom, angle, shifts, self.patch_size, (patches.shape[2], patches.shape[3]))
        grid = _sampling_grid((orientation_maps(kinds) @ theta).to(patches.device), self.patch_size)
        return grid_sample(patches.float(), grid, padding_mode="reflection", align_corners=False)


class PrepareAugmented(PrepareBatch):
    """Moves a batch of patches to the device as uint8, and augments and scales it there.

    Args:
        patch_size: (height, width) that the network sees, in pixels.
        preprocessing: dictionary transform of ``{"image": (N, 3, h, w) float32}``, elementwise.
        augmentation: random changes; None takes the central patch as it is.
    """

    def __init__(self, patch_size: Sequence[int], preprocessing: Any, augmentation: Augmentation | None = None) -> None:
        self.patch_size = (int(patch_size[0]), int(patch_size[1]))
        self.preprocessing = preprocessing
        self.augmentation = augmentation
        self._scaling = find_scaling(self._preprocess)

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, 3, h, w) float32 patches and their (N, 1, 1, 1) float32 labels, on the device."""
        patches = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking)
        label = torch.as_tensor(batchdata["label"]).to(device=device, non_blocking=non_blocking)
        output = _empty((*patches.shape[:2], *self.patch_size), patches.device)
        size = _BLOCK if patches.device.type == "cpu" else max(1, len(patches))
        labels = [label[:0]]
        for start in range(0, len(patches), size):
            block = slice(start, start + size)
            changed, part = self._change(patches[block], label[block])
            self._scale(changed, output[block])
            labels.append(part)
        return output, torch.cat(labels)

    def _change(self, patches: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.augmentation is None:
            return center_crop(patches, self.patch_size), label
        return self.augmentation.with_labels(patches, label)

    def _scale(self, patches: torch.Tensor, output: torch.Tensor) -> None:
        if self._scaling is not None:
            torch.mul(patches, self._scaling.factor, out=output).add_(self._scaling.shift)
            return
        output.copy_(self._preprocess({"image": patches})["image"])

    def _preprocess(self, sample: dict[str, torch.Tensor]) -> dict[str, Any]:
        with _without_metadata():
            found: dict[str, Any] = self.preprocessing({"image": sample["image"].float()})
        return found


def _empty(shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Room for a batch. On a CPU it is numpy's, which asks for huge pages: single ones take as long as the changes."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, device=device)


@contextmanager
def _without_metadata() -> Iterator[None]:
    """MONAI's transforms would give every block metadata, whose handling takes as long as the transform."""
    tracked = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(tracked)


def _blur(patches: torch.Tensor, factor: int) -> torch.Tensor:
    """Lose the detail that a patch ``factor`` times coarser does not hold."""
    size = (patches.shape[2], patches.shape[3])
    coarse = interpolate(patches, scale_factor=1 / factor, mode="area")
    return interpolate(coarse, size, mode="bicubic", antialias=True).clamp_(0, 255)


def _sampling_map(
    zoom: torch.Tensor, angle: torch.Tensor, shifts: torch.Tensor, size: tuple[int, int], full: tuple[int, int]
) -> torch.Tensor:
    """Maps from the output's to the input's coordinates, both from -1 to 1 in (x, y): (N, 2, 3)."""
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    half_xy = [size[1] / 2, size[0] / 2]
    turned = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
    scale = torch.tensor(half_xy)[None, None] / torch.tensor([full[1] / 2, full[0] / 2])[None, :, None]
    return torch.cat([turned * scale, (shifts / torch.tensor([full[1] / 2, full[0] / 2]))[..., None]], dim=2)


def _sampling_grid(theta: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, h, w, 2) for `grid_sample`: torch's ``affine_grid``, whose product of matrices takes longer than sampling."""
    rows, cols = ((2 * torch.arange(side, dtype=theta.dtype, device=theta.device) + 1) / side - 1 for side in size)
    of_x, of_y, shift = torch.view_as_complex(theta.transpose(1, 2).contiguous()).unbind(dim=1)  # x + iy
    grid = (of_x[:, None] * cols)[:, None, :] + (of_y[:, None] * rows + shift[:, None])[:, :, None]
    return torch.view_as_real(grid)
