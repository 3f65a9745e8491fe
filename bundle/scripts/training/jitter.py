"""Random colors, stains and sharpness of patches; colors and stains by one affine map of each patch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from skimage.color import hed_from_rgb, rgb_from_hed
from torch.nn.functional import conv2d, pad

from ..errors import InputError

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as torchvision
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))  # NTSC, 1953

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
            check_range(name, value, math.inf)
        check_range("hue", hue, 0.5)
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
        factors = torch.stack([uniform(count, low, high) for low, high in self.ranges], dim=1)
        turns = uniform(count, -self.hue, self.hue)
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
        check_range("strength", strength, 1.0)
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


class SharpnessJitter:
    """Blurs or sharpens some patches, as scanners do that focus badly, or whose software sharpens.

    A sharpened patch is one less its blur (unsharp mask). No value leaves the range of its patch.

    Args:
        share: share of the patches that are changed.
        mpp: µm per pixel.
        sharpened: share of the changed that are sharpened; the others are blurred.
        sigma_um: (least, greatest) standard deviation of the Gaussian in µm.

    Raises:
        InputError: if a setting is out of its range.
    """

    def __init__(
        self, share: float, mpp: float, sharpened: float = 0.3, sigma_um: Sequence[float] = (0.3, 1.2)
    ) -> None:
        check_range("share", share, 1)
        check_range("sharpened", sharpened, 1)
        if len(sigma_um) != 2 or not 0 < sigma_um[0] <= sigma_um[1]:
            raise InputError(f"sigma_um must be two growing positive numbers, but got {list(sigma_um)}")
        self.share, self.sharpened = share, sharpened
        self.sigma = (sigma_um[0] / mpp, sigma_um[1] / mpp)

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Change some of them.

        Args:
            patches: (N, 3, h, w) float32 of any range.

        Returns:
            (N, 3, h, w) float32; the argument itself if none is changed.
        """
        count = len(patches)
        chosen = torch.nonzero(torch.rand(count) < self.share)[:, 0].tolist()
        sigmas = uniform(count, *self.sigma).tolist()
        amounts = torch.where(torch.rand(count) < self.sharpened, -1.0, 1.0).tolist()
        output = patches.clone() if chosen else patches
        for index in chosen:
            patch = patches[index : index + 1]
            changed = torch.lerp(patch, gaussian_blur(patch, sigmas[index]), amounts[index])
            output[index : index + 1] = changed.clamp_(patch.min(), patch.max())
        return output


def gaussian_blur(patches: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur by a Gaussian up to three standard deviations wide, mirrored at the edges.

    torchvision's goes over each pixel's whole square, which takes some ten times as long for a wide one.

    Args:
        patches: (N, C, h, w) float32, larger than three standard deviations.
        sigma: standard deviation in pixels.

    Returns:
        (N, C, h, w) float32.
    """
    reach = max(1, math.ceil(3 * sigma))
    weights = torch.exp(-(torch.arange(-reach, reach + 1, device=patches.device) ** 2) / (2 * sigma**2))
    weights = (weights / weights.sum()).to(patches.dtype)
    channels = patches.flatten(0, 1)[:, None]
    channels = conv2d(pad(channels, (reach, reach, 0, 0), mode="reflect"), weights[None, None, None])
    channels = conv2d(pad(channels, (0, 0, reach, reach), mode="reflect"), weights[None, None, :, None])
    return channels.reshape(patches.shape)


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


def uniform(count: int, low: float, high: float) -> torch.Tensor:
    """(count,) float32 between low and high, drawn on the CPU."""
    return low + (high - low) * torch.rand(count)


def check_range(name: str, value: float, largest: float) -> None:
    """Refuse a setting that is no number, negative or too large.

    Raises:
        InputError: if it is.
    """
    if not isinstance(value, (int, float)) or not 0 <= value <= largest:
        raise InputError(f"{name} must be from 0 to {largest}, but got {value!r}")
