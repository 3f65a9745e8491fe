"""The foreground of a slide for inference, computed or read, with the artifacts that are known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..folders.names import named_file, slide_name
from ..masks.examined import quality_notes, without_artifacts
from ..masks.foreground import ForegroundSettings
from ..masks.foreground_files import examined_slide, read_mask, why_empty
from ..quality.classes import Artifact
from ..quality.examination import measured_shares
from ..quality.files import SUFFIX, encode_artifacts, read_artifacts
from ..slides.slide import Slide
from .tile_plan import NO_QUALITY


class Foreground(NamedTuple):
    """Where a slide is computed.

    Attributes:
        mask: (rows, cols) bool.
        source: where it came from: a file's name or the method.
        why_empty: why it would be empty.
        artifacts: see `tile_plan.SlidePlan`.
        quality: see `tile_plan.SlidePlan`.
        notes: what people must know of the artifacts, a sentence each.
    """

    mask: npt.NDArray[np.bool_]
    source: str
    why_empty: str
    artifacts: bytes | None
    quality: Mapping[str, Any]
    notes: tuple[str, ...]


def compute_foreground(slide: Slide, stride: int, settings: ForegroundSettings, skip: Sequence[Artifact]) -> Foreground:
    """Find the tissue and the artifacts of an open slide.

    Args:
        slide: the slide.
        stride: level-0 pixels per mask pixel.
        settings: how tissue is told from background.
        skip: classes of artifacts that are left out.

    Raises:
        InputError: if the slide cannot be read.
    """
    examined, sidecar = examined_slide(slide, stride, settings, skip)
    reason = why_empty(sidecar)
    if skip:
        reason += f", or it lies in artifacts that are skipped ({', '.join(examined.about['skip_artifacts'])})"
    quality = {key: examined.about[key] for key in NO_QUALITY}
    notes = tuple(quality_notes(examined.about))
    return Foreground(examined.mask, str(sidecar["method"]), reason, encode_artifacts(examined.classes), quality, notes)


def read_foreground(slide: Slide, stride: int, folder: str | Path, skip: Sequence[Artifact]) -> Foreground:
    """Read the mask of a slide, and its artifact mask where there is one.

    Args:
        slide: the slide.
        stride: level-0 pixels per mask pixel.
        folder: of the masks.
        skip: classes of artifacts that are left out.

    Raises:
        InputError: if the mask is missing or wrong, or the artifact mask is wrong, or missing and asked for.
    """
    name = slide_name(slide.path)
    path = named_file(folder, name, ".png")
    mask, reason = read_mask(path, slide.shape, stride), f"the mask {path} is empty"
    artifact_path = named_file(folder, name, SUFFIX)
    if not artifact_path.is_file() and not skip:
        return Foreground(mask, path.name, reason, None, NO_QUALITY, ())
    if not artifact_path.is_file():
        raise InputError(
            f"{artifact_path}: no such artifact mask, which --skip_artifacts needs; make the masks again with "
            "'tumor-detection foreground', or leave the flag"
        )
    classes = read_artifacts(artifact_path, (mask.shape[0], mask.shape[1]))
    kept = without_artifacts(mask, classes, 0, skip)
    quality = {**NO_QUALITY, "artifacts": measured_shares(slide, classes, mask)}
    labels = [artifact.label for artifact in skip]
    notes = quality_notes({**quality, "tissue_fraction": float(kept.mean()), "skip_artifacts": labels})
    return Foreground(kept, path.name, reason, encode_artifacts(classes), quality, tuple(notes))
