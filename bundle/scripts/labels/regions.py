"""Labelled training regions of slides with truth: what is tumor at a point, and the rows that ``train`` reads.

`loclabel` labels centers that a file lists; here centers come from elsewhere and the truth is outlines or a mask.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..annotations.annotations import ANNOTATION_SUFFIXES, Annotation, contains, read_annotation
from ..annotations.polygons import in_any
from ..errors import InputError, counted
from ..files import atomic_path, make_output_dir
from ..folders.names import check_cell, name_key, slide_file_name, slide_name
from ..geometry import CELL_SIZE, GRID_SHAPE, cell_centers, level0_to_map, map_shape
from ..masks.groundtruth import tumor_mask
from ..masks.placement import Bounds
from ..masks.truth import read_truth
from ..masks.truth_folder import TruthFolder
from .loclabel import read_loclabels


class SlideTruth(NamedTuple):
    """The truth of one slide.

    Attributes:
        mask: (rows, cols) bool, true is tumor.
        stride: level-0 pixels per mask pixel.
        annotation: the outlines that the mask was drawn from, or None. They decide where both could.
    """

    mask: npt.NDArray[np.bool_]
    stride: int
    annotation: Annotation | None


class Regions(NamedTuple):
    """Labelled regions of one slide.

    Attributes:
        name: the slide's stem.
        centers: (N, 2) int64, (row, col), level-0 frame.
        labels: (N, 3, 3) uint8, [region, row, col], 0 or 1.
    """

    name: str
    centers: npt.NDArray[np.int64]
    labels: npt.NDArray[np.uint8]


def find_truths(paths: Sequence[Path], folder: TruthFolder, normal: Sequence[str] | str = "") -> list[Path | None]:
    """Find the truth of slides.

    Args:
        paths: the slides.
        folder: the truth.
        normal: stems or file names of slides without tumor, in any case: a list, or one comma-separated string.

    Returns:
        For each slide its truth, or None if it has none and is normal, by its name or as listed.

    Raises:
        InputError: if a slide has no truth and is not known to be normal, or ``normal`` lists others, or slides with
            truth.
    """
    names = normal.split(",") if isinstance(normal, str) else normal
    listed = {name_key(name.strip()) for name in names if name.strip()}
    spellings = [{name_key(slide_name(path)), name_key(slide_file_name(path))} for path in paths]
    unknown = sorted(listed.difference(*spellings))
    if unknown:
        raise InputError(
            f"normal: {counted(len(unknown), 'name is', 'names are')} of no slide: {', '.join(unknown[:5])}; mend them"
        )
    found = [folder.find(slide_name(path)) for path in paths]
    is_listed = [not listed.isdisjoint(spelling) for spelling in spellings]
    missing = [
        slide_name(path)
        for path, truth, is_normal in zip(paths, found, is_listed, strict=True)
        if truth is None and not is_normal and not folder.is_normal(slide_name(path))
    ]
    if missing:
        raise InputError(
            f"{folder.folder}: no truth for {len(missing)} of {counted(len(paths), 'slide')}: "
            f"{', '.join(missing[:5])}; add their "
            "masks or annotations, or list the normal ones with --normal NAME,NAME"
        )
    marked = [
        slide_name(path) for path, truth, is_normal in zip(paths, found, is_listed, strict=True) if truth and is_normal
    ]
    if marked:
        raise InputError(
            f"normal: expected slides without truth, found truth in {folder.folder} for {', '.join(marked[:5])}; "
            "take them off the list or remove their truth"
        )
    return found


def read_slide_truth(
    path: Path | None,
    slide_shape: tuple[int, int],
    map_stride: int,
    wanted_stride: int,
    tumor_value: int | None = None,
    origin: tuple[int, int] = (0, 0),
    bounds: Bounds | None = None,
) -> SlideTruth:
    """Read the truth of a slide, keeping its outlines where it has them.

    Args:
        path: a mask or an annotation of `masks.truth_folder.TruthFolder`; None for a slide without tumor.
        slide_shape: (height, width) in level-0 pixels.
        map_stride: see `masks.truth.read_truth`.
        wanted_stride: see `masks.truth.read_truth`.
        tumor_value: see `masks.truth.read_truth`.
        origin: see `masks.truth.read_truth`.
        bounds: see `masks.truth.read_truth`.

    Returns:
        The truth; its stride is ``wanted_stride`` but for masks that have another.

    Raises:
        InputError: if the file is damaged, belongs to another slide or has other values.
    """
    if path is None:
        return SlideTruth(np.zeros(map_shape(slide_shape, wanted_stride), dtype=np.bool_), wanted_stride, None)
    if path.suffix.lower() not in ANNOTATION_SUFFIXES:
        found = read_truth(path, slide_shape, map_stride, wanted_stride, tumor_value, bounds=bounds)
        return SlideTruth(found.mask, found.stride, None)
    annotation = read_annotation(path, origin)
    return SlideTruth(tumor_mask(annotation, slide_shape, wanted_stride) != 0, wanted_stride, annotation)


def is_tumor(truth: SlideTruth, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which points are tumor, by the outlines (`annotations.annotations.contains`), else by the mask's pixel there.

    Args:
        truth: the slide's truth.
        points: (N, 2), (row, col), level-0 frame; beyond the mask there is no tumor.

    Returns:
        (N,) bool.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if truth.annotation is not None:
        return contains(truth.annotation, points)
    rows, cols = level0_to_map(points, truth.stride).T
    is_on = (rows >= 0) & (cols >= 0) & (rows < truth.mask.shape[0]) & (cols < truth.mask.shape[1])
    found = np.zeros(len(points), dtype=np.bool_)
    found[is_on] = truth.mask[rows[is_on], cols[is_on]]
    return found


def is_normal(truth: SlideTruth, points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which points are known to be no tumor: all that are none, but for those in outlines of which nobody knows.

    Args:
        truth: the slide's truth.
        points: see `is_tumor`.

    Returns:
        (N,) bool.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    found = ~is_tumor(truth, points)
    if truth.annotation is not None and truth.annotation.undecided:
        found[found] = ~in_any(truth.annotation.undecided, points[found])
    return found


def label_regions(truth: SlideTruth, centers: npt.ArrayLike, model_downsample: float) -> npt.NDArray[np.uint8]:
    """Label the cells of regions, 256 px wide at the model's resolution: 1 if the cell's center is tumor.

    Args:
        truth: the slide's truth.
        centers: (N, 2), (row, col) of the region centers, level-0 frame.
        model_downsample: level-0 pixels per pixel that the model sees.

    Returns:
        (N, 3, 3) uint8, [region, row, col], 0 or 1.
    """
    points = cell_centers(np.asarray(centers).reshape(-1, 2), GRID_SHAPE, CELL_SIZE * model_downsample)
    return is_tumor(truth, points.reshape(-1, 2)).reshape(points.shape[:-1]).astype(np.uint8)


def check_output(output: str | Path) -> Path:
    """Make sure that a file can be written, before anything is computed.

    Returns:
        Its path.

    Raises:
        InputError: if it is a folder, or its folder cannot be written.
    """
    path = Path(output)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give an output file, such as {path / 'training.csv'}")
    make_output_dir(path.parent)
    return path


def known_centers(existing: str | Path | None) -> set[tuple[str, int, int]]:
    """The regions of a loclabel file: (key of the slide's name, row, col), level-0 frame; none without a file.

    The key is `folders.names.name_key`.

    Raises:
        InputError: if the file is no loclabel file.
    """
    if existing is None:
        return set()
    return {(name_key(item["name"]), *item["center"]) for item in read_loclabels(existing)}


def write_regions(output: Path, rows: Sequence[Regions], existing: str | Path | None = None) -> None:
    """Write a loclabel file: the lines of an existing one as they are, then regions in the order given.

    Args:
        output: the CSV file; may be the existing one.
        rows: regions, see `Regions`; a slide may come several times.
        existing: a loclabel file, which `known_centers` has checked, or None.

    Raises:
        InputError: if it cannot be written, or a name must not stand in a CSV file.
    """
    kept = "" if existing is None else Path(existing).read_text(encoding="utf-8-sig").rstrip("\r\n \t") + "\n"
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(
        [check_cell(regions.name, output), col, row, *cells]
        for regions in rows
        for (row, col), cells in zip(
            regions.centers.tolist(), regions.labels.transpose(0, 2, 1).reshape(-1, 9).tolist(), strict=True
        )
    )
    with atomic_path(output) as temporary:
        temporary.write_text(kept + lines.getvalue(), encoding="utf-8")
