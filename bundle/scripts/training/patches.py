"""Training regions of slides: what `PatchWSIDataset` reads at each labelled location."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import monai.data
import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..geometry import REGION_SIZE, check_mpp
from ..slides.pool import SlidePool
from ..slides.slide import MODEL_MPP


class PatchWSIDataset(monai.data.PatchWSIDataset):
    """MONAI's dataset of regions with labels, read at the model's resolution whatever the slide's.

    A slide is opened once per worker. Beyond its edge it is white. A region centered outside of its slide is an
    error, since its label cannot be true.

    Args:
        data: dicts of ``image`` (slide path), ``location`` ((row, col) of the region's center, level-0 frame) and
            ``label`` ((1, rows, cols) of 0 and 1); with ``mpp`` where another resolution counts than the file states.
        region_size: side of the region in pixels at the model's resolution.
        mpp: the model's µm per pixel.
        transform: applied to ``{"image": (3, h, w) uint8 MetaTensor, "label": float32}``.
        backend: see `slides.slide.open_slide`.
        assume_mpp: see `slides.slide.open_slide`.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        region_size: int = REGION_SIZE,
        mpp: float = MODEL_MPP,
        transform: Callable[..., Any] | None = None,
        backend: str = "auto",
        assume_mpp: float | None = None,
    ) -> None:
        super().__init__(data, patch_size=region_size, patch_level=0, transform=transform, reader="openslide")
        self.region_size = region_size
        self.mpp = check_mpp("mpp", mpp)
        self.slides = SlidePool(backend, assume_mpp)

    def _get_data(self, sample: dict[str, Any]) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        slide = self.slides.get(sample["image"], sample.get("mpp"))
        row, col = sample["location"]
        if not (0 <= row < slide.shape[0] and 0 <= col < slide.shape[1]):
            raise InputError(
                f"{slide.path}: the region centered at (row, col) {(row, col)} lies outside the slide of "
                f"(height, width) {slide.shape}; mend that line of the label file"
            )
        downsample = slide.model_downsample(self.mpp)
        size = (self.region_size, self.region_size)
        location = (row - self.region_size * downsample / 2, col - self.region_size * downsample / 2)
        region = slide.read_region(location, size, downsample)
        metadata = {"path": str(slide.path), "location": (row, col), "size": size}
        return np.ascontiguousarray(region.transpose(2, 0, 1)), metadata
