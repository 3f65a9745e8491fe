"""Foreground masks of a folder of slides, with pictures that show them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.segmentation import find_boundaries
from tqdm import tqdm

from ..annotations.annotations import geojson_origin, index_annotations
from ..errors import FilesFailedError, InputError, counted, few, some_of
from ..files import atomic_path, make_output_dir, write_json
from ..folders.names import check_result_name, slide_name
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable
from ..quality.classes import Artifact, parse_classes
from ..quality.files import SUFFIX, check_artifacts_name, encode_artifacts, with_artifacts, write_artifacts
from ..slides.reader_process import ReaderProcess
from ..slides.slide import check_reading, open_slide
from .examined import ExaminedForeground, examined_foreground, quality_notes
from .files import write_mask
from .foreground import ForegroundSettings
from .foreground_files import find_foreground, why_empty

logger = logging.getLogger(__name__)

OVERLAY_SIDE = 1024
"""Longest side of the overlay picture in pixels."""


def write_foregrounds(
    slides: str | Path | Sequence[str | Path],
    output: str | Path,
    stride: int = 64,
    settings: ForegroundSettings = ForegroundSettings(),  # noqa: B008
    backend: str = "auto",
    assume_mpp: float | None = None,
    annotations: str | Path | None = None,
    origin: str = "bounds",
    skip_artifacts: str | Sequence[str] = (),
) -> list[Path]:
    """Write a mask, a sidecar, an artifact mask and an overlay picture for each slide.

    ``<stem>.png`` is 8-bit, 0 or 255; ``<stem>.json`` its sidecar; ``<stem>_artifacts.png`` is `quality.files`'s;
    ``<stem>_overlay.jpg`` shows the mask's outline and the artifacts.

    Args:
        slides: slides, folders of slides or tables of slides, see `folders.slide_table`.
        output: folder for the results.
        stride: level-0 pixels per mask pixel.
        settings: see `foreground.ForegroundSettings`.
        backend: see `slides.slide.open_slide`.
        assume_mpp: µm per level-0 pixel, over what the slides say.
        annotations: folder of annotation files named like the slides, see `annotations.annotations.read_tissue`.
            Outlined tissue takes the place of computed tissue, which is else kept to outlined regions. Slides without a
            file are computed, which warns.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.
        skip_artifacts: classes that are left out of the foreground, see `quality.classes.parse_classes`.

    Returns:
        The masks written.

    Raises:
        InputError: if the stride is no positive integer, a setting is out of range, or the output cannot be written.
        FilesFailedError: after all others are done, if slides could not be read.
    """
    if not isinstance(stride, int) or stride < 1:
        raise InputError(f"stride must be a positive integer of level-0 pixels, but got {stride}")
    settings.check()
    check_reading(backend)
    geojson_origin(origin, (0, 0))
    skip = parse_classes(skip_artifacts)
    paths, table = find_slides(slides), SlideTable(slides)
    index = None if annotations is None else index_annotations(annotations)
    folder = make_output_dir(output)
    written: list[Path] = []
    without_tissue: list[str] = []
    not_annotated: list[str] = []
    failures: dict[str, str] = {}
    with ReaderProcess() as reader:  # a damaged slide may end the process that decodes it
        for path in tqdm(paths, desc="foreground", unit="slide"):
            try:
                check_result_name(path)
                check_artifacts_name(path)
                name = slide_name(path)
                found = None if index is None else index.get(name)
                if index is not None and found is None:
                    not_annotated.append(name)
                opening = path, backend, table.mpp(path, assume_mpp)
                overview, examined, sidecar = reader.ask(
                    str(path), _examine, opening, stride, settings, found, origin, skip
                )
            except InputError as error:
                logger.error("%s", error)
                failures[str(path)] = str(error)
                continue
            mask, sidecar = examined.mask, sidecar | examined.about
            for note in quality_notes(sidecar):
                logger.warning("%s: %s", path, note)
            if not mask.any():
                logger.warning("%s: no tissue found, so its mask is empty: %s", path, why_empty(sidecar))
                without_tissue.append(path.name)
            target = folder / f"{name}.png"
            write_mask(target, mask)
            write_artifacts(folder / f"{name}{SUFFIX}", encode_artifacts(examined.classes))
            write_json(target.with_suffix(".json"), sidecar)
            with atomic_path(folder / f"{name}_overlay.jpg") as temporary:
                overlay = with_artifacts(outline_overlay(overview, mask), examined.classes)
                Image.fromarray(overlay).save(temporary, quality=85)
            written.append(target)
    if not_annotated:
        logger.warning(
            "%s: %s no annotation, first %r; tissue is computed there",
            annotations,
            some_of(len(not_annotated), len(paths), "slide", "has", "have"),
            not_annotated[0],
        )
    if without_tissue:
        logger.warning(
            "no tissue found on %d of %s: %s", len(without_tissue), counted(len(paths), "slide"), few(without_tissue)
        )
    if failures:
        first = next(iter(failures.values()))
        message = f"{len(failures)} of {counted(len(paths), 'slide')} failed, the others are done; first: {first}"
        raise FilesFailedError(message, failures)
    return written


def _examine(
    opening: tuple[Path, str, float | None],
    stride: int,
    settings: ForegroundSettings,
    annotation: Path | None,
    origin: str,
    skip: Sequence[Artifact],
) -> tuple[npt.NDArray[np.uint8], ExaminedForeground, dict[str, Any]]:
    """Open a slide; its overview, what is found on it, and the sidecar of `slide_foreground`."""
    with open_slide(*opening) as slide:
        overview = slide.read_overview(stride)
        mask, sidecar = find_foreground(slide, overview, stride, settings, annotation, origin)
        return overview, examined_foreground(slide, overview, mask, stride, settings.min_tissue_um2, skip), sidecar


def outline_overlay(
    overview: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], color: tuple[int, int, int] = (0, 160, 60)
) -> npt.NDArray[np.uint8]:
    """Overview with the mask's outline drawn on it and the background dimmed, at most `OVERLAY_SIDE` px a side."""
    scale = OVERLAY_SIDE / max(mask.shape)
    if scale < 1 or scale >= 2:
        scale = scale if scale < 1 else float(int(scale))
        size_xy = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
        overview = np.asarray(Image.fromarray(overview).resize(size_xy))
        mask = np.asarray(Image.fromarray(mask).resize(size_xy, Image.Resampling.NEAREST))
    picture = overview.copy()
    picture[~mask] = (picture[~mask] * 0.6 + 255 * 0.4).astype(np.uint8)
    picture[find_boundaries(mask, mode="thick")] = color
    return picture
