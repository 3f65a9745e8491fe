"""Foreground masks of slides and their files.

A mask that a person has edited is read back and used as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image
from skimage.segmentation import find_boundaries
from tqdm import tqdm

from ..annotations.annotations import Annotation, TissueOutlines, geojson_origin, index_annotations, read_tissue
from ..annotations.polygons import Polygon
from ..errors import FilesFailedError, InputError, counted, few, some_of
from ..files import atomic_path, check_is_file, check_upright, make_output_dir, write_json
from ..folders.names import check_result_name, slide_file_name, slide_name
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable
from ..geometry import map_shape
from ..quality.classes import Artifact, parse_classes
from ..quality.files import SUFFIX, check_artifacts_name, encode_artifacts, with_artifacts, write_artifacts
from ..slides.colors import check_color
from ..slides.reader_process import ReaderProcess
from ..slides.slide import MODEL_MPP, Slide, check_reading, open_slide
from .examined import ExaminedForeground, examined_foreground, quality_notes
from .files import write_mask
from .foreground import ForegroundSettings, foreground_mask
from .groundtruth import tumor_mask

logger = logging.getLogger(__name__)

OVERLAY_SIDE = 1024
"""Longest side of the overlay picture in pixels."""


def slide_foreground(
    slide: Slide,
    stride: int,
    settings: ForegroundSettings = ForegroundSettings(),  # noqa: B008
) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    """Foreground mask of an open slide.

    Args:
        slide: the slide.
        stride: level-0 pixels per mask pixel.
        settings: thresholds and areas; areas need the slide's resolution, the model's is taken where it has none.

    Returns:
        (rows, cols) bool mask and its sidecar: slide, shape, stride, mpp, method, thresholds, tissue fraction.

    Raises:
        InputError: if a tile is damaged, or the slide is no RGB of 8 bits.
    """
    overview = slide.read_overview(stride)
    return _mask_and_sidecar(slide, overview, stride, settings)


def examined_slide(
    slide: Slide, stride: int, settings: ForegroundSettings, skip: Sequence[Artifact]
) -> tuple[ExaminedForeground, dict[str, Any]]:
    """Foreground and artifacts of an open slide.

    Args:
        slide: the slide.
        stride: level-0 pixels per mask pixel.
        settings: as for `slide_foreground`.
        skip: classes of artifacts that are left out of the foreground.

    Returns:
        Both, and the sidecar of `slide_foreground`.

    Raises:
        InputError: if a tile is damaged, or the slide is no RGB of 8 bits.
    """
    overview = slide.read_overview(stride)
    mask, sidecar = _mask_and_sidecar(slide, overview, stride, settings)
    return examined_foreground(slide, overview, mask, stride, settings.min_tissue_um2, skip), sidecar


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
    reader = ReaderProcess()  # a damaged slide may end the process that decodes it
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
    reader.close()
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
        mask, sidecar = _mask_and_sidecar(slide, overview, stride, settings, annotation, origin)
        return overview, examined_foreground(slide, overview, mask, stride, settings.min_tissue_um2, skip), sidecar


def why_empty(sidecar: Mapping[str, Any]) -> str:
    """Why a mask is empty, in words, by its sidecar of `slide_foreground`."""
    if sidecar["saturation_threshold"] is None:
        return f"{sidecar['annotation']} outlines no tissue on it"
    settings, (height, width) = sidecar["settings"], sidecar["shape"]
    slide_um2 = height * width * (sidecar["mpp"] or MODEL_MPP) ** 2
    smaller = f", and the whole slide has {slide_um2:,.0f} µm²" if slide_um2 <= settings["min_tissue_um2"] else ""
    return (
        f"apart from areas up to {settings['min_tissue_um2']:,.0f} µm² (min_tissue_um2) its saturation is below "
        f"{sidecar['saturation_threshold']:g} or its brightness below {settings['min_value']:g} (min_value){smaller}"
    )


def read_mask(path: str | Path, slide_shape: tuple[int, int], stride: int) -> npt.NDArray[np.bool_]:
    """Read a foreground mask, edited by hand or not.

    Args:
        path: a picture; what is not black in a viewer, nor transparent, is tissue.
        slide_shape: (height, width) of the slide in level-0 pixels.
        stride: level-0 pixels per pixel of the wanted mask.

    Returns:
        (rows, cols) bool of `geometry.map_shape`.

    Raises:
        InputError: if the file is missing, damaged or made for another slide or stride.
    """
    expected = map_shape(slide_shape, stride)
    check_is_file(path)
    try:
        with Image.open(path) as picture:
            size_xy = picture.size
            if size_xy[::-1] != expected:
                raise InputError(
                    f"{path}: the mask must have shape (rows, cols) {expected} for stride {stride}, "
                    f"but has {size_xy[::-1]}; make it with --stride {stride}"
                )
            check_upright(path, picture.getexif().get(ExifTags.Base.Orientation))
            if picture.has_transparency_data:
                gray, alpha = np.moveaxis(np.asarray(picture.convert("RGBA").convert("LA")), -1, 0)
                return np.asarray((gray > 0) & (alpha > 0))
            return np.asarray(picture.convert("L")) > 0
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such foreground mask; make it with 'tumor-detection foreground'") from error
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises
        raise InputError(f"{path}: not a readable mask picture ({error}); make it again") from error


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


def _mask_and_sidecar(
    slide: Slide,
    overview: npt.NDArray[np.uint8],
    stride: int,
    settings: ForegroundSettings,
    annotation: Path | None = None,
    origin: str = "bounds",
) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    check_color(slide.path, overview)
    outlines = TissueOutlines((), (), ())
    if annotation is not None:
        outlines = read_tissue(annotation, geojson_origin(origin, slide.bounds[:2]))

    def drawn(polygons: tuple[Polygon, ...]) -> npt.NDArray[np.bool_]:
        return np.asarray(tumor_mask(Annotation(slide.path, polygons, ()), slide.shape, stride) != 0)

    threshold: float | None = None
    if outlines.tissue:
        mask, method = drawn(outlines.tissue), "annotated"
    else:
        mask, threshold = foreground_mask(overview, stride * (slide.mpp or MODEL_MPP), settings)
        method = "saturation threshold" if settings.saturation is not None else "Otsu on saturation"
    if outlines.region:
        mask &= drawn(outlines.region)
    mask &= ~drawn(outlines.ignored)
    sidecar = {
        "slide": slide_file_name(slide.path),
        "shape": list(slide.shape),
        "stride": stride,
        "mpp": slide.mpp,
        "method": method,
        "saturation_threshold": None if threshold is None else round(threshold, 4),
        "settings": settings._asdict(),
        "annotation": None if annotation is None else annotation.name,
        "tissue_fraction": round(float(mask.mean()), 6),
    }
    return mask, sidecar
