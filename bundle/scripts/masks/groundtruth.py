"""Ground truth: tumor masks of slides, from their annotations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..annotations.annotations import Annotation, geojson_origin, read_annotation
from ..annotations.folder import AnnotationFolder
from ..annotations.polygons import Polygon, crossings
from ..errors import InputError, counted
from ..files import make_output_dir, write_json
from ..folders.names import check_result_name, slide_file_name, slide_name
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable
from ..geometry import map_shape
from ..slides.reader_process import ReaderProcess
from .files import write_mask

logger = logging.getLogger(__name__)

_PIXELS_AT_ONCE = 1 << 22


def tumor_mask(
    annotation: Annotation, slide_shape: tuple[int, int], stride: int, at_corner: bool = False
) -> npt.NDArray[np.uint8]:
    """Draw a tumor mask.

    A pixel is tumor if one level-0 point of it is, in the sense of `annotations.annotations.contains`, with which it
    agrees in every pixel: the point at its center, ((row + 0.5) * stride, (col + 0.5) * stride), or with ``at_corner``
    the center of its upper left level-0 pixel, (row * stride + 0.5, col * stride + 0.5). The latter is how the levels
    of CAMELYON16's masks come about: ASAP writes them by leaving out rows and columns of the finest level.

    Args:
        annotation: the polygons; what lies beyond the slide is cut off.
        slide_shape: (height, width) of the slide in level-0 pixels.
        stride: level-0 pixels per mask pixel.
        at_corner: sample the upper left level-0 pixel instead of the center.

    Returns:
        (ceil(height / stride), ceil(width / stride)) uint8, [row, col], 1 where there is tumor, else 0.

    Raises:
        ValueError: if ``stride`` is not a positive integer.
    """
    shape = map_shape(slide_shape, stride)
    tumor, exclusion = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for mask, polygons in ((tumor, annotation.tumor), (exclusion, annotation.exclusion)):
        for polygon in polygons:
            _fill(mask, polygon, stride, 0.5 if at_corner else 0.5 * stride)
    return (tumor & ~exclusion).astype(np.uint8)


def write_groundtruth(
    annotations: str | Path | None,
    slides: str | Path | Sequence[str | Path],
    output: str | Path,
    stride: int = 64,
    origin: str = "bounds",
) -> list[Path]:
    """Write a tumor mask and a sidecar for each slide.

    ``<stem>.png`` is 8-bit, 0 or 255; ``<stem>.json`` its sidecar: slide, shape, stride, mpp, annotation file, number
    of polygons and the mask's area in mm2 (null without a resolution). A slide without an annotation is normal, its
    mask empty, if its name or the table says so.

    Args:
        annotations: folder of annotation files named like the slides, see `annotations.annotations.read_annotation`;
            None, or where one is missing, those that a table of slides lists.
        slides: slides, folders of slides or tables of slides, see `folders.slide_table`.
        output: folder for the results.
        stride: level-0 pixels per mask pixel.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.

    Returns:
        The masks written.

    Raises:
        InputError: if the stride is no positive integer, nothing is found, the output cannot be written, or, after all
            others are done, if there were slides without a usable annotation.
    """
    if not isinstance(stride, int) or isinstance(stride, bool) or stride < 1:
        raise InputError(f"stride must be a positive integer of level-0 pixels, but got {stride}")
    geojson_origin(origin, (0, 0))
    paths, table = find_slides(slides), SlideTable(slides)
    found = AnnotationFolder(annotations, table)
    folder = make_output_dir(output)
    written: list[Path] = []
    failures: list[InputError] = []
    with ReaderProcess() as reader:  # a damaged slide may end the process that opens it
        for path in tqdm(paths, desc="groundtruth", unit="slide"):
            try:
                check_result_name(path)
                mask, sidecar = _slide_groundtruth(path, found, stride, origin, table.mpp(path), reader)
            except InputError as error:
                logger.error("%s", error)
                failures.append(error)
                continue
            target = folder / f"{slide_name(path)}.png"
            write_mask(target, mask != 0)
            write_json(target.with_suffix(".json"), sidecar)
            written.append(target)
    if failures:
        raise InputError(
            f"{len(failures)} of {counted(len(paths), 'slide')} failed, the others are done: "
            f"{'; '.join(map(str, failures))}"
        )
    return written


def _slide_groundtruth(
    path: Path, folder: AnnotationFolder, stride: int, origin: str, assume_mpp: float | None, reader: ReaderProcess
) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    name = slide_name(path)
    found = folder.find(name)
    if found is None and not folder.is_normal(name):
        raise InputError(
            f"{path}: no annotation named {name!r} in {folder.folder}, and the name does not say normal; "
            "add its annotation or mend the name"
        )
    shape, mpp, bounds = reader.ask(str(path), _measure, path, assume_mpp)
    annotation = Annotation(path, (), ())
    if found is not None:
        annotation = read_annotation(found, geojson_origin(origin, bounds[:2]))
    _check_inside(annotation, shape, bounds)
    mask = tumor_mask(annotation, shape, stride)
    if annotation.tumor and not mask.any():
        logger.warning(
            "%s: the tumor on %s (%s) covers no pixel of its mask, as if the slide were normal; check that coordinates "
            "are level-0 pixels, or give a smaller --stride",
            *(annotation.path, path.name, counted(len(annotation.tumor), "outline")),
        )
    sidecar = {
        "slide": slide_file_name(path),
        "shape": list(shape),
        "stride": stride,
        "mpp": mpp,
        "annotation": None if found is None else found.name,
        "num_tumor_polygons": len(annotation.tumor),
        "num_exclusion_polygons": len(annotation.exclusion),
        "tumor_mm2": None if mpp is None else round(int(mask.sum(dtype=np.int64)) * (stride * mpp / 1000) ** 2, 6),
    }
    return mask, sidecar


def _measure(path: Path, assume_mpp: float | None) -> tuple[tuple[int, int], float | None, tuple[int, int, int, int]]:
    from ..slides.slide import open_slide  # OpenSlide is needed for files only, not to draw masks

    with open_slide(path, backend="openslide", assume_mpp=assume_mpp) as slide:
        return slide.shape, slide.mpp, slide.bounds


def _check_inside(
    annotation: Annotation, slide_shape: tuple[int, int], bounds: tuple[int, int, int, int] | None = None
) -> None:
    height, width = slide_shape
    first_row, first_col, last_row, last_col = bounds or (0, 0, height, width)
    for polygon in (*annotation.tumor, *annotation.exclusion):
        top, left, bottom, right = polygon.bounds()
        if bottom <= first_row or right <= first_col or top >= last_row or left >= last_col:
            is_part = (first_row, first_col, last_row, last_col) != (0, 0, height, width)
            part = f"rows {first_row} to {last_row} and columns {first_col} to {last_col}, the scanned part of "
            raise InputError(
                f"{annotation.path}: outline {polygon.name!r} spans rows {top:g} to {bottom:g} and columns {left:g} to "
                f"{right:g}, outside {part if is_part else ''}the slide of {height} x {width} (rows x columns) level-0 "
                "pixels; check that it belongs to this slide and is in level-0 pixels"
                + (", and where its coordinates begin (--geojson_origin)" if is_part else "")
            )


def _fill(mask: npt.NDArray[np.bool_], polygon: Polygon, stride: int, offset: float) -> None:
    """Set the pixels of ``mask`` whose points, ``offset`` beyond their first rows and columns, lie in the polygon."""
    rows = np.arange(mask.shape[0], dtype=np.float64) * stride + offset
    cols = np.arange(mask.shape[1], dtype=np.float64) * stride + offset
    top_edge, left_edge, bottom_edge, right_edge = polygon.bounds()
    top, bottom = np.searchsorted(rows, (top_edge, bottom_edge))
    left = np.searchsorted(cols, left_edge)
    right = np.searchsorted(cols, right_edge, side="right")
    width = int(right - left)
    if width == 0:
        return
    band_rows = max(1, _PIXELS_AT_ONCE // (width + 1))
    for start in range(top, bottom, band_rows):
        stop = min(start + band_rows, bottom)
        index, crossing = crossings(polygon, rows[start:stop])
        col = np.searchsorted(cols[left:right], crossing)  # the first pixel at or beyond the crossing
        bins = np.bincount(index * (width + 1) + col, minlength=(stop - start) * (width + 1))
        num_left = bins.reshape(stop - start, width + 1)[:, :-1].cumsum(axis=1)
        mask[start:stop, left:right] |= num_left % 2 == 1  # odd to the left as well, for all of a row are even
