"""Location labels: centers of training regions and the 3 x 3 tumor labels around them, as CSV files without a header.

A coordinate file holds ``slide,x,y`` (NCRF), the (x, y) level-0 center of a region; a loclabel file appends nine 0/1
labels, column by column: (x0,y0),(x0,y1),(x0,y2),(x1,y0),..., the order of the published training.csv. Inside, labels
are [row, col].
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..annotations.annotations import (
    Annotation,
    contains,
    geojson_origin,
    read_annotation,
)
from ..annotations.coords import Coordinate, parse_coordinate, read_coords, read_rows
from ..annotations.folder import AnnotationFolder
from ..errors import InputError, counted, some_of
from ..files import atomic_path, make_output_dir
from ..folders.corrections import Corrections
from ..folders.index import NameIndex
from ..folders.names import SLIDE_SUFFIXES, name_key, slide_name
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable, is_table
from ..geometry import CELL_SIZE, GRID_SHAPE, cell_centers


class LoclabelSummary(NamedTuple):
    """What a loclabel file holds."""

    num_rows: int
    num_slides: int
    num_tumor_regions: int
    num_tumor_cells: int

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{counted(self.num_rows, 'region')} of {counted(self.num_slides, 'slide')}: {self.num_tumor_regions} "
            f"with tumor, "
            f"{counted(self.num_tumor_cells, 'tumor cell')}"
        )


def label_cells(
    annotation: Annotation, centers: npt.ArrayLike, ignore_exclusions: bool = False, cell_size: float = CELL_SIZE
) -> npt.NDArray[np.uint8]:
    """Label the cells of regions: 1 if the cell's center is tumor.

    Args:
        annotation: the slide's polygons.
        centers: (N, 2), (row, col) of the region centers, level-0 frame.
        ignore_exclusions: take tumor in exclusions for tumor, as NCRF does.
        cell_size: side of a cell in level-0 pixels.

    Returns:
        (N, 3, 3) uint8, [row, col], 0 or 1.
    """
    points = cell_centers(np.asarray(centers).reshape(-1, 2), GRID_SHAPE, cell_size)
    return contains(annotation, points.reshape(-1, 2), ignore_exclusions).reshape(points.shape[:-1]).astype(np.uint8)


def generate_loclabels(
    coords: str | Path,
    annotations: str | Path | None,
    output: str | Path,
    ignore_exclusions: bool = False,
    slides: str | Path | None = None,
    assume_mpp: float | None = None,
    origin: str = "bounds",
    corrections: str | Path | None = None,
) -> LoclabelSummary:
    """Write the loclabel file of a coordinate file, in the same order.

    A slide without an annotation is normal if its name says so. Cells are 256 px wide at the model's resolution, which
    without ``slides`` is taken to be that of level 0.

    Args:
        coords: see `annotations.coords.read_coords`.
        annotations: folder of annotation files named like the slides, see `annotations.annotations.read_annotation`;
            None, or where one is missing, those that a table of slides lists.
        output: the CSV file to write.
        ignore_exclusions: take tumor in exclusions for tumor, as NCRF does.
        slides: folder or table of the slides; given, each center must lie inside its slide, and the slide's resolution
            counts.
        assume_mpp: µm per level-0 pixel of the slides, over what they state.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`; without
            ``slides`` they begin at the corner of level 0.
        corrections: see `folders.corrections.Corrections`; lines of slides that it removes are left out.

    Returns:
        Counts.

    Raises:
        InputError: if the coordinates, an annotation or a slide are missing or damaged, or a center lies outside its
            slide; nothing is written then.
    """
    output = Path(output)
    if output.is_dir() or output.resolve() == Path(coords).resolve():
        raise InputError(f"{output}: is {'a folder' if output.is_dir() else 'the input'}; give another output file")
    geojson_origin(origin, (0, 0))
    coordinates = read_coords(coords)
    make_output_dir(output.parent)
    lines_of: dict[str, list[int]] = {}
    for index, coordinate in enumerate(coordinates):
        lines_of.setdefault(coordinate.name, []).append(index)
    corrected = Corrections(corrections)
    lines_of = {name: lines_of[name] for name in corrected.without_removed(list(lines_of))}
    kept = sorted(line for lines in lines_of.values() for line in lines)
    centers = np.array([(row, col) for _, row, col in coordinates], dtype=np.int64)
    cell_sizes, begins = dict.fromkeys(lines_of, float(CELL_SIZE)), dict.fromkeys(lines_of, (0, 0))
    if slides is not None:
        cell_sizes, begins = _check_centers(coords, lines_of, centers, slides, assume_mpp)
    by_name = _read_annotations(
        coords,
        {name: geojson_origin(origin, begin) for name, begin in begins.items()},
        AnnotationFolder(annotations, SlideTable(slides), corrected),
    )
    labels = np.zeros((len(coordinates), *GRID_SHAPE), dtype=np.uint8)
    for name, lines in tqdm(lines_of.items(), desc="loclabel", unit="slide", delay=2):
        annotation = by_name[name]
        if annotation is not None:
            labels[lines] = label_cells(annotation, centers[lines], ignore_exclusions, cell_sizes[name])
    labels = labels[kept]
    _write(output, [coordinates[line] for line in kept], labels)
    return LoclabelSummary(
        len(kept), len(lines_of), int(labels.any(axis=(1, 2)).sum()), int(labels.sum(dtype=np.int64))
    )


def read_loclabels(csv_file: str | Path, grid_shape: tuple[int, int] = GRID_SHAPE) -> list[dict[str, Any]]:
    """Read a loclabel file.

    Args:
        csv_file: ``slide,x,y`` and rows * cols labels, 0 or 1, column by column; no header.
        grid_shape: (rows, cols) of the labels.

    Returns:
        For each line ``name``, ``center`` (row, col) in the level-0 frame, and ``label``, (1, rows, cols) float32,
        [channel, row, col].

    Raises:
        InputError: at the first line that is not as expected, or if there is none.
    """
    rows, cols = grid_shape
    known: dict[tuple[str, ...], npt.NDArray[np.float32]] = {}
    items: list[dict[str, Any]] = []
    for line, fields in read_rows(csv_file, 3 + rows * cols, f"slide,x,y and {rows * cols} labels"):
        name, row, col = parse_coordinate(csv_file, line, fields)
        cells = tuple(fields[3:])
        if cells not in known:
            if any(cell.strip() not in ("0", "1") for cell in cells):
                raise InputError(f"{csv_file}, line {line}: labels must be 0 or 1, found {','.join(cells)}; mend it")
            known[cells] = np.array(cells, dtype=np.float32).reshape(cols, rows).T[None]
        items.append({"name": name, "center": (row, col), "label": known[cells].copy()})
    return items


def loclabel_datalist(csv_file: str | Path, slides_dir: str | Path) -> list[dict[str, Any]]:
    """Read a loclabel file into what MONAI's ``PatchWSIDataset`` takes.

    Args:
        csv_file: see `read_loclabels`.
        slides_dir: the slides are found by name anywhere below; or a table of slides, see `folders.slide_table`.

    Returns:
        For each line ``image``, the slide's path, ``location``, the region's center (row, col) in the level-0 frame,
        ``label``, (1, 3, 3) float32, [channel, row, col], and ``mpp`` where the table states it.

    Raises:
        InputError: if a line is not as expected, or slides are missing.
    """
    items = read_loclabels(csv_file)
    paths = _find_by_name(csv_file, list(dict.fromkeys(item["name"] for item in items)), slides_dir)
    table = SlideTable(slides_dir)
    about = {name: table.sample(str(path)) for name, path in paths.items()}
    return [{**about[item["name"]], "location": item["center"], "label": item["label"]} for item in items]


def _read_annotations(
    coords: str | Path, origins: Mapping[str, tuple[int, int]], folder: AnnotationFolder
) -> dict[str, Annotation | None]:
    """Read the annotation of each slide, None for a normal slide without one; all the problems in one error.

    The slides come with the (row, col) at which the coordinates of their GeoJSON begin.
    """
    found = {name: folder.find(name) for name in origins}
    missing = sorted(name for name, path in found.items() if path is None and not folder.is_normal(name))
    if missing:
        raise InputError(
            f"{coords}: {some_of(len(missing), len(origins), 'slide', 'has', 'have')} no annotation in {folder.folder} "
            f"and no name of a normal slide: {', '.join(missing)}; add the annotations or mend the names"
        )
    annotations: dict[str, Annotation | None] = {}
    failures: list[InputError] = []
    for name, path in tqdm(found.items(), desc="annotations", unit="file", delay=2):
        try:
            annotations[name] = None if path is None else read_annotation(path, origins[name])
        except InputError as error:
            failures.append(error)
    if failures:
        raise InputError("; ".join(map(str, failures)))
    return annotations


def _find_by_name(csv_file: str | Path, names: Sequence[str], slides_dir: str | Path) -> dict[str, Path]:
    where = "nowhere below"
    if is_table(slides_dir):
        where = "not in"
        listed = {name_key(slide_name(path)): path for path in find_slides(slides_dir)}
        found = {name: listed.get(name_key(name)) for name in names}
    else:
        index = NameIndex(slides_dir, SLIDE_SUFFIXES, "slide")
        found = {name: index.get(name) for name in names}
    missing = sorted(name for name, path in found.items() if path is None)
    if missing:
        raise InputError(
            f"{csv_file}: {some_of(len(missing), len(names), 'slide', 'is', 'are')} {where} {slides_dir}: "
            f"{', '.join(missing)}; add them or remove their lines"
        )
    return {name: path for name, path in found.items() if path is not None}


def _check_centers(
    coords: str | Path,
    lines_of: dict[str, list[int]],
    centers: npt.NDArray[np.int64],
    slides: str | Path,
    assume_mpp: float | None,
) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
    """Check that the centers lie inside their slides.

    Returns:
        For each slide the side of a cell in level-0 pixels, and the (row, col) at which its scanned part begins.
    """
    from ..slides.reader_process import ReaderProcess  # slides are needed only here

    paths, table = _find_by_name(coords, list(lines_of), slides), SlideTable(slides)
    cell_sizes: dict[str, float] = {}
    begins: dict[str, tuple[int, int]] = {}
    outside: list[str] = []
    with ReaderProcess() as reader:  # a damaged slide may end the process that opens it
        for name, path in tqdm(paths.items(), desc="slides", unit="slide", delay=2):
            shape, cell_sizes[name], begins[name] = reader.ask(
                str(path), _measure_slide, path, table.mpp(path, assume_mpp)
            )
            lines = np.array(lines_of[name])[(centers[lines_of[name]] >= shape).any(axis=1)]
            if len(lines):
                outside.append(f"{name} ({len(lines)}, first in line {lines[0] + 1}, slide {shape[1]} x {shape[0]})")
    if outside:
        raise InputError(
            f"{coords}: centers outside their slides: {', '.join(outside)}; give level-0 pixels of these slides"
        )
    return cell_sizes, begins


def _measure_slide(path: Path, assume_mpp: float | None) -> tuple[tuple[int, int], float, tuple[int, int]]:
    """(height, width) of a slide, the side of a cell in level-0 pixels, and where the scanned part begins."""
    from ..slides.slide import open_slide

    with open_slide(path, backend="openslide", assume_mpp=assume_mpp) as slide:
        return slide.shape, CELL_SIZE * slide.model_downsample(), slide.bounds[:2]


def _write(output: Path, coordinates: Sequence[Coordinate], labels: npt.NDArray[np.uint8]) -> None:
    by_column = labels.transpose(0, 2, 1).reshape(len(labels), -1).tolist()
    with atomic_path(output) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [name, col, row, *cells] for (name, row, col), cells in zip(coordinates, by_column, strict=True)
        )
