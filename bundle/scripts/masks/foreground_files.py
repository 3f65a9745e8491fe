"""The foreground mask of a slide: found on the slide, or read from a file, which a person may have edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from ..annotations.annotations import Annotation, TissueOutlines, geojson_origin, read_tissue
from ..annotations.polygons import Polygon
from ..errors import InputError
from ..files import check_is_file, check_upright
from ..folders.names import slide_file_name
from ..geometry import map_shape
from ..quality.classes import Artifact
from ..slides.colors import check_color
from ..slides.slide import MODEL_MPP, Slide
from .examined import ExaminedForeground, examined_foreground
from .foreground import ForegroundSettings, foreground_mask
from .groundtruth import tumor_mask


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
    return find_foreground(slide, overview, stride, settings)


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
    mask, sidecar = find_foreground(slide, overview, stride, settings)
    return examined_foreground(slide, overview, mask, stride, settings.min_tissue_um2, skip), sidecar


def find_foreground(
    slide: Slide,
    overview: npt.NDArray[np.uint8],
    stride: int,
    settings: ForegroundSettings,
    annotation: Path | None = None,
    origin: str = "bounds",
) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    """Foreground mask of an open slide, by its overview and what a person outlined.

    Args:
        slide: the slide.
        overview: (rows, cols, 3) uint8, see `slides.slide.Slide.read_overview`.
        stride: level-0 pixels per mask pixel.
        settings: as for `slide_foreground`.
        annotation: outlined tissue takes the place of computed tissue, see `annotations.annotations.read_tissue`.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.

    Returns:
        Those of `slide_foreground`.

    Raises:
        InputError: if the slide is no RGB of 8 bits, or the annotation cannot be read.
    """
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
