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

import torch
from monai.data import get_track_meta, set_track_meta
from monai.engines.utils import PrepareBatch
from skimage.color import hed_from_rgb, rgb_from_hed
from torch.nn.functional import grid_sample, interpolate

from .errors import InputError

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as torchvision
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))  # NTSC, 1953
_BLOCK = 8
"""Patches that a CPU changes at a time: what stays in its cache is changed several times as fast as a whole batch."""

_ORIENTATIONS: tuple[tuple[tuple[int, ...], bool], ...] = (
    ((), False),
    ((-1,), True),
    ((-2, -1), False),
    ((-2,), True),
    ((-1,), False),
    ((-2, -1), True),
    ((-2,), False),
    ((), True),
)
"""Axes to flip, and whether to transpose then: quarter turns, and these mirrored."""

_CONTRAST = 1  # its place among brightness, contrast, saturation, hue


class ColorJitter:
    """Brightness, contrast, saturation and hue, in random order: the distribution of torchvision's ``ColorJitter``.

    All four are affine in RGB once hue is turned in YIQ space, and are composed into one map. Values are clipped once
    at the end and not after each step.

    Args:
        brightness: factor from [1 - brightness, 1 + brightness], not below 0.
        contrast: likewise, around the patch's mean gray.
        saturation: likewise, around each pixel's gray.
        hue: turn of the hue from [-hue, hue], in whole turns; at most 0.5.

    Raises:
        InputError: if a setting is negative or hue above 0.5.
    """

    def __init__(
        self, brightness: float = 0.25, contrast: float = 0.75, saturation: float = 0.25, hue: float = 0.04
    ) -> None:
        for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            _check(name, value, math.inf)
        _check("hue", hue, 0.5)
        self.ranges = tuple((max(0.0, 1 - width), 1 + width) for width in (brightness, contrast, saturation))
        self.hue = hue

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Change the colors.

        Args:
            patches: (N, 3, h, w) float32 RGB in [0, 255].

        Returns:
            (N, 3, h, w) float32 RGB in [0, 255].
        """
        count = len(patches)
        factors = torch.stack([_uniform(count, low, high) for low, high in self.ranges], dim=1)
        turns = _uniform(count, -self.hue, self.hue)
        orders = torch.rand(count, 4).argsort(dim=1)
        drawn = (value.to(patches.device, non_blocking=True) for value in (factors, turns, orders))
        matrix, shift = color_map(patches.mean(dim=(2, 3)), *drawn)
        return _apply(patches, matrix, shift).clamp_(0, 255)


def color_map(
    mean: torch.Tensor, factors: torch.Tensor, turns: torch.Tensor, orders: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compose color changes into one affine map for each patch.

    Args:
        mean: (N, 3) float32, mean color of each patch.
        factors: (N, 3) float32, of brightness, contrast and saturation.
        turns: (N,) float32, of the hue, in whole turns.
        orders: (N, 4) int, a permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue: the order of the changes.

    Returns:
        (N, 3, 3) and (N, 3) float32: a color is mapped to ``matrix @ color + shift``.
    """
    count = len(mean)
    identity = torch.eye(3, device=mean.device).expand(count, 3, 3)
    luma = torch.tensor(_LUMA, device=mean.device)
    to_gray = luma.expand(3, 3)
    saturation = factors[:, 2, None, None]
    steps = torch.stack(
        [
            identity * factors[:, 0, None, None],
            identity * factors[:, 1, None, None],
            identity * saturation + to_gray * (1 - saturation),
            _hue_rotation(turns),
        ],
        dim=1,
    )
    matrix, shift = identity, torch.zeros_like(mean)
    for index in orders.unbind(dim=1):
        step = steps.gather(1, index[:, None, None, None].expand(count, 1, 3, 3))[:, 0]
        gray = ((matrix @ mean[..., None])[..., 0] + shift) @ luma
        offset = gray * (1 - factors[:, 1]) * (index == _CONTRAST)
        matrix, shift = step @ matrix, (step @ shift[..., None])[..., 0] + offset[:, None]
    return matrix, shift


class StainJitter:
    """Random strength of hematoxylin, eosin and the residual, after Tellez et al. (2019), https://arxiv.org/abs/1902.06543.

    Colors are unmixed by Ruifrok and Johnston's stain vectors (scikit-image's); each stain's density d becomes
    ``d * a + b``.

    Args:
        strength: a comes from [1 - strength, 1 + strength] and b from [-strength, strength] / 10, in optical density
            (natural logarithm).

    Raises:
        InputError: if strength is negative or above 1.
    """

    def __init__(self, strength: float = 0.2) -> None:
        _check("strength", strength, 1.0)
        self.strength = strength
        self._unmix = torch.tensor(hed_from_rgb, dtype=torch.float32).T
        self._mix = torch.tensor(rgb_from_hed, dtype=torch.float32).T

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Change the stains.

        Args:
            patches: (N, 3, h, w) float32 RGB in [0, 255].

        Returns:
            (N, 3, h, w) float32 RGB in [0, 255].
        """
        shape = (len(patches), 3)
        factors = 1 + self.strength * (2 * torch.rand(shape) - 1)
        offsets = self.strength / 10 * (2 * torch.rand(shape) - 1)
        matrix = self._mix @ (factors[..., None] * self._unmix)
        shift = (self._mix @ offsets[..., None])[..., 0]
        density = patches.add(1).div_(256).log_().neg_()
        return _apply(density, matrix, shift).neg_().exp_().mul_(256).sub_(1).clamp_(0, 255)


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
            _check(name, value, 1)
        _check("turn", turn, 180)
        _check("shift", shift, math.inf)
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
        kinds = torch.randint(8, (len(patches),))
        output = self._resample(orient(patches, kinds))
        if torch.rand(()) < self.blur_prob:
            output = _blur(output, int(2 ** torch.randint(1, 3, ())))
        for jitter in (self.stain, self.color):
            if jitter is not None:
                output = jitter(output)
        return output, orient(labels, kinds) if labels[0].numel() > 1 else labels

    def _resample(self, patches: torch.Tensor) -> torch.Tensor:
        cropped = center_crop(patches, self.patch_size)
        is_chosen = torch.rand(len(patches)) < self.resample_prob
        if not is_chosen.any():
            return cropped.float()
        chosen, kept = (torch.nonzero(part)[:, 0].to(patches.device) for part in (is_chosen, ~is_chosen))
        count = len(chosen)
        zoom, angle = _uniform(count, *self.zoom), torch.deg2rad(_uniform(count, -self.turn, self.turn))
        shifts = torch.stack([_uniform(count, -self.shift, self.shift) for _ in range(2)], dim=1)
        theta = _sampling_map(zoom, angle, shifts, self.patch_size, (patches.shape[2], patches.shape[3]))
        grid = _sampling_grid(theta.to(patches.device), self.patch_size)
        sampled = grid_sample(patches[chosen].float(), grid, padding_mode="reflection", align_corners=False)
        if not len(kept):
            return sampled
        output = torch.empty(cropped.shape, device=patches.device)
        output[chosen], output[kept] = sampled, cropped[kept].float()
        return output


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

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, 3, h, w) float32 patches and their (N, 1, 1, 1) float32 labels, on the device."""
        patches = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking)
        label = torch.as_tensor(batchdata["label"]).to(device=device, non_blocking=non_blocking)
        if patches.device.type != "cpu":
            return self._prepare(patches, label)
        output = torch.empty((*patches.shape[:2], *self.patch_size))
        labels = []
        for start in range(0, len(patches), _BLOCK):
            block = slice(start, start + _BLOCK)
            output[block], changed = self._prepare(patches[block], label[block])
            labels.append(changed)
        return output, torch.cat(labels)

    def _prepare(self, patches: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.augmentation is None:
            patches = center_crop(patches, self.patch_size).float()
        else:
            patches, label = self.augmentation.with_labels(patches, label)
        with _without_metadata():
            return self.preprocessing({"image": patches})["image"], label


@contextmanager
def _without_metadata() -> Iterator[None]:
    """MONAI's transforms would give every block metadata, whose handling takes as long as the transform."""
    tracked = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(tracked)


def center_crop(patches: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut the central part out.

    Args:
        patches: (N, 3, H, W).
        size: (height, width), at most (H, W).

    Returns:
        (N, 3, *size), a view.

    Raises:
        InputError: if the patches are smaller.
    """
    top, left = ((side - wanted) // 2 for side, wanted in zip(patches.shape[2:], size, strict=True))
    if top < 0 or left < 0:
        raise InputError(f"patches must be at least patch_size, {size}, but are {tuple(patches.shape[2:])}")
    return patches[:, :, top : top + size[0], left : left + size[1]]


def orient(patches: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """Give each square patch one of its eight orientations.

    Args:
        patches: (N, C, H, W), H = W.
        kinds: (N,) int64, from 0 to 7; 0 leaves a patch as it is.

    Returns:
        (N, C, H, W).
    """
    output = torch.empty_like(patches)
    if patches.device.type == "cpu":
        for turned, patch, kind in zip(output, patches, kinds.tolist(), strict=True):
            turned.copy_(turn(patch, kind))
        return output
    for kind in range(8):  # few kernels, rather than some for each patch
        chosen = torch.nonzero(kinds == kind)[:, 0].to(patches.device)
        output[chosen] = turn(patches[chosen], kind)
    return output


def turn(patches: torch.Tensor, kind: int) -> torch.Tensor:
    """(..., H, W) in one of the eight orientations."""
    flipped, is_transposed = _ORIENTATIONS[kind]
    turned = patches.flip(flipped) if flipped else patches
    return turned.transpose(-2, -1) if is_transposed else turned


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
    grid = torch.empty((len(theta), *size, 2), dtype=theta.dtype, device=theta.device)
    for axis in range(2):
        of_x, of_y, shift = theta[:, axis, 0, None], theta[:, axis, 1, None], theta[:, axis, 2, None]
        torch.add((of_x * cols)[:, None, :], (of_y * rows + shift)[:, :, None], out=grid[..., axis])
    return grid


def _hue_rotation(turns: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) turns of the hue in YIQ space."""
    angle = -2 * math.pi * turns  # YIQ turns the other way
    cos, sin, zero, one = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]]
    rotation = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    to_yiq = torch.tensor(_YIQ)
    matrices: torch.Tensor = torch.linalg.inv(to_yiq).to(turns.device) @ rotation @ to_yiq.to(turns.device)
    return matrices


def _apply(patches: torch.Tensor, matrix: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """``matrix @ color + shift`` for every pixel of (N, 3, h, w)."""
    matrix, shift = matrix.to(patches.device), shift.to(patches.device)
    return torch.baddbmm(shift[..., None], matrix, patches.flatten(2)).reshape(patches.shape)


def _uniform(count: int, low: float, high: float) -> torch.Tensor:
    return low + (high - low) * torch.rand(count)


def _check(name: str, value: float, largest: float) -> None:
    if not 0 <= value <= largest:
        raise InputError(f"{name} must be from 0 to {largest}, but got {value}")
