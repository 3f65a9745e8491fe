"""How the pixels of a tile become the network's input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from monai.engines import PrepareBatch

_TOLERANCE = 1e-6


class Scaling(NamedTuple):
    """A preprocessing that is one factor and one shift for all values.

    Attributes:
        factor: by which a value is multiplied.
        shift: which is added then.
    """

    factor: float
    shift: float

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scale pixels of any shape, uint8 or float32, to float32; they stay as they are."""
        return torch.mul(pixels, self.factor).add_(self.shift)


def find_scaling(preprocessing: Callable[[dict[str, torch.Tensor]], dict[str, Any]]) -> Scaling | None:
    """See whether a preprocessing is a `Scaling`, by what it does to pixels of every value.

    Args:
        preprocessing: dictionary transform of ``{"image": (1, 3, h, w) uint8}``.

    Returns:
        The scaling; None if values change otherwise, or depend on their place, channel or neighbors.
    """
    values = torch.arange(256, dtype=torch.uint8)
    some = 32 + torch.randperm(192, generator=torch.Generator().manual_seed(0))
    pictures = [values.reshape(16, 16).expand(3, 16, 16), values[some].reshape(3, 8, 8)]
    scaling = None
    for picture in pictures:
        found = preprocessing({"image": picture[None].clone()})["image"]
        if not isinstance(found, torch.Tensor) or found.shape != (1, *picture.shape):
            return None
        found = torch.as_tensor(found, dtype=torch.float64)
        if scaling is None:
            first, last = float(found.min()), float(found.max())
            if first == last:
                return None
            is_rising = float(found[0, 0, 0, 0]) == first
            scaling = Scaling((last - first) / 255, first) if is_rising else Scaling((first - last) / 255, last)
        expected = picture[None].double() * scaling.factor + scaling.shift
        if not torch.allclose(found, expected, rtol=0.0, atol=_TOLERANCE * float(expected.abs().max())):
            return None
    return scaling


class PrepareTile(PrepareBatch):
    """Moves a tile to the device as uint8 and applies the preprocessing there.

    One that is a `Scaling`, as usual, is left to what computes the network: pixels stay a fourth as large on the way.

    Args:
        preprocessing: dictionary transform of ``{"image": (1, 3, h, w)}``.
    """

    def __init__(self, preprocessing: Any) -> None:
        self.preprocessing = preprocessing
        self._is_known = False
        self._scaling: Scaling | None = None

    def __call__(
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Any, None, tuple[()], dict[str, Any]]:
        """Return the tile's pixels, no label, and for the inferer the tile and the scaling that is left to it.

        Of tiles that come together, lists under both keys, it returns lists.
        """
        images = batchdata["image"]
        if isinstance(images, list):
            found: Any = [self._prepare(image.to(device=device, non_blocking=non_blocking)) for image in images]
        else:
            found = self._prepare(images.to(device=device, non_blocking=non_blocking))
        return found, None, (), {"tile": batchdata["tile"], "scaling": self._scaling}

    def find_scaling(self) -> Scaling | None:
        """The scaling that is left to what computes the network, None if there is none; see `find_scaling`."""
        if not self._is_known:
            self._scaling, self._is_known = find_scaling(self.preprocessing), True
        return self._scaling

    def _prepare(self, image: torch.Tensor) -> torch.Tensor:
        if not image.numel():
            return image
        scaling = self.find_scaling()
        return image if scaling is not None else self.preprocessing({"image": image})["image"]
