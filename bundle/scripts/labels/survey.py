"""What a slide has to sample from: its strata, the lesions that they miss, and the slide in small."""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..annotations.annotations import geojson_origin
from ..folders.names import named_file, slide_name
from ..geometry import level0_to_map, map_shape, map_to_level0
from ..masks.foreground import foreground_mask
from ..masks.foreground_files import read_mask
from ..masks.groundtruth import tumor_mask
from ..masks.placement import Bounds, Ground, doubt
from ..slides.colors import check_color
from ..slides.enlargement import enlargement_notes
from ..slides.slide import MODEL_MPP, open_slide
from .regions import SlideTruth, read_slide_truth
from .strata import TUMOR_CORE, draw_strata
from .thumbnails import shrink
from .tumor_pixels import missed_lesions, tumor_pixels

logger = logging.getLogger(__name__)


class Survey(NamedTuple):
    """What is kept of a slide until the shares of all are known; small, for cohorts are large.

    Attributes:
        name: the slide's stem.
        shape: (height, width) in level-0 pixels.
        bounds: see `slides.slide.Slide`.
        model_downsample: see `regions.label_regions`.
        truth_path: its truth, or None.
        outlines: the truth where it has outlines, without its mask; None where a mask is to be read again.
        packed: the compressed map of strata, a byte per pixel.
        tiny: (T, 2) int64, (row, col), level-0 frame: a point in each lesion that the map misses.
        num_tumor: pixels of tumor strata, and tiny lesions.
        num_normal: pixels of normal strata.
        thumbnail: (h, w, 3) uint8, the slide in small.
    """

    name: str
    shape: tuple[int, int]
    bounds: Bounds
    model_downsample: float
    truth_path: Path | None
    outlines: SlideTruth | None
    packed: bytes
    tiny: npt.NDArray[np.int64]
    num_tumor: int
    num_normal: int
    thumbnail: npt.NDArray[np.uint8]

    def strata(self, stride: int) -> npt.NDArray[np.uint8]:
        """The map of strata, (rows, cols) uint8 of `strata.draw_strata`, for the stride that it was made at."""
        flat = np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8)
        return flat.reshape(map_shape(self.shape, stride))


def survey_slide(
    rng: np.random.Generator,
    path: Path,
    truth_path: Path | None,
    stride: int,
    boundary_um: float,
    foreground_dir: str | Path | None = None,
    tumor_value: int | None = None,
    backend: str = "auto",
    assume_mpp: float | None = None,
    origin: str = "bounds",
) -> Survey:
    """Look at a slide and its truth.

    Args:
        rng: random generator, for the points in tiny lesions.
        path: the slide.
        truth_path: its mask or annotation, or None for a slide without tumor.
        stride: level-0 pixels per map pixel.
        boundary_um: see `strata.draw_strata`.
        foreground_dir: folder of masks ``<stem>.png`` made for this stride; None computes the mask.
        tumor_value: see `masks.truth.read_truth`.
        backend: see `slides.slide.open_slide`.
        assume_mpp: see `slides.slide.open_slide`.
        origin: see `annotations.annotations.geojson_origin`.

    Returns:
        What there is.

    Raises:
        InputError: if the slide, its mask or its truth is missing, damaged or does not fit.
    """
    with open_slide(path, backend, assume_mpp) as slide:
        shape, mpp, downsample = slide.shape, slide.require_mpp(), slide.model_downsample()
        bounds = slide.bounds
        begin = geojson_origin(origin, bounds[:2])
        truth = read_slide_truth(truth_path, shape, stride, stride, tumor_value, begin, bounds)
        overview = slide.read_overview(stride)
    check_color(path, overview)
    for note in enlargement_notes(mpp, MODEL_MPP):
        logger.warning("%s: its regions are %s", path, note)
    if foreground_dir is None:
        foreground, _ = foreground_mask(overview, stride * mpp)
    else:
        foreground = read_mask(named_file(foreground_dir, slide_name(path), ".png"), shape, stride)
    if truth_path is not None:
        said = doubt(truth_path, truth.mask, truth.stride, Ground(foreground, stride, bounds[:2], begin))
        if said is not None:
            logger.warning("%s", said)
    tumor = tumor_pixels(truth, shape, stride)
    tiny = missed_lesions(rng, truth, tumor, shape, stride)
    tiny_pixels = tuple(level0_to_map(tiny, stride).T)
    tumor[tiny_pixels] = True  # they have a boundary as well
    strata = draw_strata(tumor, foreground, stride * mpp, boundary_um)
    strata[tiny_pixels] = 0  # but the points that these pixels stand for are no tumor
    if truth.annotation is not None and truth.annotation.undecided:
        undecided = tumor_mask(truth.annotation._replace(tumor=truth.annotation.undecided), shape, stride) != 0
        strata[undecided & (strata > TUMOR_CORE)] = 0
    strata[_beyond(shape[0], stride)] = 0  # a last row or column that stands for points beyond the slide
    strata[:, _beyond(shape[1], stride)] = 0
    num_tumor = int(np.count_nonzero((strata > 0) & (strata <= TUMOR_CORE)))
    num_normal = int(np.count_nonzero(strata > TUMOR_CORE))
    if not num_tumor + num_normal + len(tiny):
        logger.warning("%s: no tissue found, so nothing is sampled; check its foreground mask", path)
    elif truth_path is not None and not num_tumor + len(tiny) and truth.annotation and truth.annotation.tumor:
        logger.warning("%s: its outlines hold no tumor inside the slide, so none is sampled; check them", truth_path)
    outlines = None if truth.annotation is None else truth._replace(mask=np.empty((0, 0), dtype=np.bool_))
    packed = zlib.compress(strata.tobytes(), 1)
    return Survey(
        slide_name(path),
        shape,
        bounds,
        downsample,
        truth_path,
        outlines,
        packed,
        tiny,
        num_tumor + len(tiny),
        num_normal,
        shrink(overview),
    )


def _beyond(side: int, stride: int) -> slice:
    """Map rows (or columns) that stand for level-0 pixels beyond the slide: the last, or none."""
    (num, _) = map_shape((side, 1), stride)
    return slice(num - 1 if int(map_to_level0(num - 1, stride)) >= side else num, num)
