"""Training regions with a label for each position at which the network, run over the region, gives a logit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..annotations.annotations import geojson_origin
from ..errors import InputError
from ..geometry import PATCH_SIZE, cell_centers
from ..labels.regions import SlideTruth, find_truths, is_tumor, read_slide_truth
from ..masks.truth_folder import TruthFolder
from ..network.modes import NETWORK_STRIDE
from .patches import PatchWSIDataset

_MASK_STRIDE = 32  # level-0 pixels per pixel of a truth that is drawn; outlines decide where there are any


class DenseRegionDataset(PatchWSIDataset):
    """`patches.PatchWSIDataset` whose labels come from annotations or masks, one every 32 pixels.

    Args:
        data: as there; its labels are not used.
        truth: folder of annotations or tumor masks, see `masks.truth_folder.TruthFolder`.
        normal: names of slides without tumor and without truth, see `labels.regions.find_truths`.
        patch_size: (height, width) of the patch that a label stands for, in pixels at the model's resolution.
        tumor_value: see `masks.truth.read_truth`.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.
        arguments: of `patches.PatchWSIDataset`.

    Raises:
        InputError: if a slide has no truth and is not known to be normal, or regions are smaller than patches.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        truth: str | Path,
        normal: Sequence[str] | str = "",
        patch_size: Sequence[int] = (PATCH_SIZE, PATCH_SIZE),
        tumor_value: int | None = None,
        origin: str = "bounds",
        **arguments: Any,
    ) -> None:
        super().__init__(data, **arguments)
        if self.region_size < max(patch_size):
            raise InputError(f"region_size must be at least patch_size, {patch_size}, but is {self.region_size}")
        rows, cols = ((self.region_size - side) // NETWORK_STRIDE + 1 for side in patch_size)
        self.grid_shape = (rows, cols)
        self.tumor_value = tumor_value
        self.origin = origin
        slides = sorted({str(sample["image"]) for sample in data})
        self.truth_paths = dict(
            zip(slides, find_truths([Path(slide) for slide in slides], TruthFolder(truth), normal), strict=True)
        )
        self._truths: dict[str, SlideTruth] = {}

    def _get_label(self, sample: dict[str, Any]) -> torch.Tensor:
        path = str(sample["image"])
        slide = self.slides.get(path, sample.get("mpp"))
        if path not in self._truths:
            self._truths[path] = read_slide_truth(
                self.truth_paths[path],
                slide.shape,
                _MASK_STRIDE,
                _MASK_STRIDE,
                self.tumor_value,
                geojson_origin(self.origin, slide.bounds[:2]),
                slide.bounds,
            )
        step = NETWORK_STRIDE * slide.model_downsample(self.mpp)
        points = cell_centers(sample["location"], self.grid_shape, step)
        labels = is_tumor(self._truths[path], points.reshape(-1, 2)).reshape(1, *self.grid_shape)
        return torch.from_numpy(labels).float()
