"""Foreground masks: where a slide shows tissue.

Otsu's threshold on the saturation of an overview at one pixel per ``stride`` x ``stride`` level-0 pixels, holes
filled and specks removed. A mask that a person has edited is read back and used as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.filters import threshold_otsu
from skimage.segmentation import find_boundaries
from tqdm import tqdm

from .annotations import Annotation, TissueOutlines, index_annotations, read_tissue
from .errors import InputError
from .files import atomic_path, find_slides, make_output_dir, write_json
from .geometry import map_shape
from .groundtruth import tumor_mask
from .masks import write_mask
from .polygons import Polygon
from .slide import MODEL_MPP, Slide, check_reading, open_slide

logger = logging.getLogger(__name__)

OVERLAY_SIDE = 1024
"""Longest side of the overlay picture in pixels."""


class ForegroundSettings(NamedTuple):
    """How tissue is told from background.

    Attributes:
        saturation: saturation (HSV, 0 to 1) from which on a pixel is tissue; None takes Otsu's threshold.
        min_saturation: floor under Otsu's threshold.
        max_saturation: ceiling over it, and the threshold where Otsu's two classes differ too little to be tissue and
            background: a slide that is all background, tinted or not, then has no tissue, one that is all tissue
            keeps it.
        min_contrast: least difference of the two classes' mean saturation.
        min_value: pixels darker than this (HSV value, 0 to 1), such as black borders and pen, are not tissue.
        max_hole_um2: holes up to this area are filled.
        min_tissue_um2: specks below this area are removed.
    """

    saturation: float | None = None
    min_saturation: float = 0.05
    max_saturation: float = 0.2
    min_contrast: float = 0.05
    min_value: float = 0.1
    max_hole_um2: float = 50_000.0
    min_tissue_um2: float = 20_000.0

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            InputError: if one is.
        """
        for name, value in self._asdict().items():
            if name.endswith("_um2"):
                if not value >= 0:
                    raise InputError(f"{name} must not be negative, but got {value}")
            elif value is not None and not 0 <= value <= 1:
                raise InputError(f"{name} must be from 0 to 1, but got {value}")


def foreground_mask(
    overview: npt.NDArray[np.uint8],
    pixel_um: float,
    settings: ForegroundSettings = ForegroundSettings(),  # noqa: B008
) -> tuple[npt.NDArray[np.bool_], float]:
    """Tell tissue from background.

    Args:
        overview: (rows, cols, 3) uint8 RGB.
        pixel_um: side of an overview pixel in µm.
        settings: thresholds and areas.

    Returns:
        (rows, cols) bool, true where there is tissue, and the saturation threshold used.
    """
    hsv = rgb2hsv(overview)
    saturation, value = hsv[..., 1], hsv[..., 2]
    lit = value >= settings.min_value
    threshold = _threshold(saturation[lit], settings) if settings.saturation is None else settings.saturation
    mask = (saturation >= threshold) & lit
    mask = _fill_holes(mask, settings.max_hole_um2 / pixel_um**2)
    return _without_small(mask, settings.min_tissue_um2 / pixel_um**2), threshold


def _threshold(saturation: npt.NDArray[np.float64], settings: ForegroundSettings) -> float:
    """Otsu's threshold of (N,) saturations, kept within the settings' limits."""
    threshold = settings.max_saturation
    if saturation.size and np.ptp(saturation) > 0:
        otsu = float(threshold_otsu(saturation))
        is_above = saturation > otsu
        if saturation[is_above].mean() - saturation[~is_above].mean() >= settings.min_contrast:
            threshold = min(otsu, threshold)
    return max(threshold, settings.min_saturation)


def _fill_holes(mask: npt.NDArray[np.bool_], max_pixels: float) -> npt.NDArray[np.bool_]:
    """The mask with its holes of up to `max_pixels` pixels; background that reaches the border is no hole."""
    labels, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    is_hole = np.bincount(labels.ravel()) <= max_pixels
    is_hole[[0, labels[0, 0]]] = False
    filled: npt.NDArray[np.bool_] = mask | is_hole[labels][1:-1, 1:-1]
    return filled


def _without_small(mask: npt.NDArray[np.bool_], max_pixels: float) -> npt.NDArray[np.bool_]:
    """The mask without its components of up to `max_pixels` pixels, joined by their sides."""
    # scikit-image renamed the arguments of its own between 0.25, the last for Python 3.10, and 0.26
    labels, _ = ndimage.label(mask)
    is_kept = np.bincount(labels.ravel()) > max_pixels
    is_kept[0] = False
    kept: npt.NDArray[np.bool_] = is_kept[labels]
    return kept


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
    """
    overview = slide.read_overview(stride)
    return _mask_and_sidecar(slide, overview, stride, settings)


def write_foregrounds(
    slides: str | Path | Sequence[str | Path],
    output: str | Path,
    stride: int = 64,
    settings: ForegroundSettings = ForegroundSettings(),  # noqa: B008
    backend: str = "auto",
    assume_mpp: float | None = None,
    annotations: str | Path | None = None,
) -> list[Path]:
    """Write a mask, a sidecar and an overlay picture for each slide.

    ``<stem>.png`` is 8-bit, 0 or 255; ``<stem>.json`` its sidecar; ``<stem>_overlay.jpg`` shows the mask's outline.

    Args:
        slides: slides or folders of slides.
        output: folder for the results.
        stride: level-0 pixels per mask pixel.
        settings: see `ForegroundSettings`.
        backend: see `slide.open_slide`.
        assume_mpp: µm per level-0 pixel, over what the slides say.
        annotations: folder of annotation files named like the slides, see `annotations.read_tissue`: outlined tissue
            takes the place of the computed, which is else kept to outlined regions. Slides without a file are
            computed, which warns.

    Returns:
        The masks written.

    Raises:
        InputError: if the stride is no positive integer, a setting is out of range, the output cannot be written, or,
            after all others are done, if slides could not be read.
    """
    if not isinstance(stride, int) or stride < 1:
        raise InputError(f"stride must be a positive integer of level-0 pixels, but got {stride}")
    settings.check()
    check_reading(backend)
    paths = find_slides(slides)
    index = None if annotations is None else index_annotations(annotations)
    folder = make_output_dir(output)
    written: list[Path] = []
    not_annotated: list[str] = []
    failures: list[InputError] = []
    for path in tqdm(paths, desc="foreground", unit="slide"):
        try:
            found = None if index is None else index.get(path.stem)
            if index is not None and found is None:
                not_annotated.append(path.stem)
            with open_slide(path, backend, assume_mpp) as slide:
                overview = slide.read_overview(stride)
                mask, sidecar = _mask_and_sidecar(slide, overview, stride, settings, found)
        except InputError as error:
            logger.error("%s", error)
            failures.append(error)
            continue
        target = folder / f"{path.stem}.png"
        write_mask(target, mask)
        write_json(target.with_suffix(".json"), sidecar)
        with atomic_path(folder / f"{path.stem}_overlay.jpg") as temporary:
            Image.fromarray(outline_overlay(overview, mask)).save(temporary, quality=85)
        written.append(target)
    if not_annotated:
        logger.warning(
            "%s: %d of %d slides have no annotation, first %r; their tissue is computed",
            annotations,
            len(not_annotated),
            len(paths),
            not_annotated[0],
        )
    if failures:
        raise InputError(f"{len(failures)} of {len(paths)} slides failed, the others are done; first: {failures[0]}")
    return written


def read_mask(path: str | Path, slide_shape: tuple[int, int], stride: int) -> npt.NDArray[np.bool_]:
    """Read a foreground mask, edited by hand or not.

    Args:
        path: an 8-bit picture; anything above 0 is tissue.
        slide_shape: (height, width) of the slide in level-0 pixels.
        stride: level-0 pixels per pixel of the wanted mask.

    Returns:
        (rows, cols) bool of `geometry.map_shape`.

    Raises:
        InputError: if the file is missing, damaged or made for another slide or stride.
    """
    expected = map_shape(slide_shape, stride)
    try:
        with Image.open(path) as picture:
            size_xy = picture.size
            if size_xy[::-1] != expected:
                raise InputError(
                    f"{path}: the mask must have shape (rows, cols) {expected} for stride {stride}, "
                    f"but has {size_xy[::-1]}; make it with --stride {stride}"
                )
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
) -> tuple[npt.NDArray[np.bool_], dict[str, Any]]:
    outlines = TissueOutlines((), (), ()) if annotation is None else read_tissue(annotation)

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
        "slide": slide.path.name,
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
