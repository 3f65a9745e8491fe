"""The ``froc`` step: score a folder of probability maps against a folder of ground truth."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from . import froc
from .errors import InputError
from .files import atomic_path, make_output_dir, read_json, write_json
from .geometry import map_shape
from .truth import TruthFolder, read_truth

logger = logging.getLogger(__name__)

NMS_RADIUS_UM = 12 * 64 * 0.243
"""Default radius of non-maximum suppression: NCRF's 12 pixels at level 6 of CAMELYON16, 186.6 µm."""

EVALUATION_PIXEL_UM = 32 * 0.243
"""CAMELYON16 scores on masks of level 5, 7.776 µm per pixel; truth that comes at several strides is read there."""


class MapInfo(NamedTuple):
    """What the sidecar of a probability map says.

    Attributes:
        path: the map's ``.npy`` file; its stem is the slide's.
        slide: the slide's file name.
        slide_shape: (height, width) in level-0 pixels.
        stride: level-0 pixels per map pixel.
        mpp: µm per level-0 pixel.
    """

    path: Path
    slide: str
    slide_shape: tuple[int, int]
    stride: int
    mpp: float

    @property
    def name(self) -> str:
        """The slide's stem."""
        return self.path.stem


class _Settings(NamedTuple):
    nms_radius_um: float
    threshold: float
    tumor_value: int | None


class _Scored(NamedTuple):
    match: froc.SlideMatch
    row: dict[str, Any]
    remark: str | None


def score_folder(
    maps: str | Path,
    truth: str | Path,
    output: str | Path,
    normal: Sequence[str] | str = (),
    nms_radius_um: float = NMS_RADIUS_UM,
    threshold: float = 0.5,
    tumor_value: int | None = None,
) -> dict[str, Any]:
    """Score probability maps by CAMELYON16's rules and write the report, the curve and the detections.

    Every map counts in the denominator. A map without truth counts as normal if its name says so or ``normal`` lists
    it. The output gets ``froc.json`` (what is returned), ``froc.png`` and ``detections/<slide>.csv``: one line
    ``confidence,x,y`` per detection in level-0 pixels, strongest first, without a header, as the challenge's code
    reads it. One map is in memory at a time.

    Args:
        maps: folder of ``<slide stem>.npy``, float32 (rows, cols) in [0, 1], each with a sidecar ``<slide stem>.json``
            that holds ``slide``, ``shape`` ([height, width] in level-0 pixels), ``stride`` and ``mpp``.
        truth: folder of tumor masks or annotations, see `truth.TruthFolder`.
        output: folder for the results.
        normal: names of slides without tumor, a list or one comma-separated string.
        nms_radius_um: radius of non-maximum suppression in µm, rounded to map pixels, at least one.
        threshold: in [0, 1); only higher probabilities are detections.
        tumor_value: see `truth.read_truth`.

    Returns:
        The report.

    Raises:
        InputError: if anything needed is missing, damaged or does not fit, or there is no lesion to find.
    """
    settings = _settings(nms_radius_um, threshold, tumor_value)
    folder = TruthFolder(truth)
    infos = read_map_infos(maps)
    truth_paths = _find_truth(infos, folder, _normal_names(normal, infos))
    without_map = folder.names_beyond(info.name for info in infos)
    warnings = _missing(Path(maps), [info.slide for info in infos], without_map)
    output = make_output_dir(output)
    detections_dir = make_output_dir(output / "detections")
    scored: list[_Scored] = []
    for info, truth_path in zip(tqdm(infos, desc="froc", unit="slide"), truth_paths, strict=True):
        detections = _detect(info, settings)
        _write_detections(detections_dir / f"{info.name}.csv", detections)
        scored.append(_score_slide(info, detections, truth_path, tumor_value))
    warnings += _remarks(scored)
    for warning in warnings:
        logger.warning("%s", warning)

    matches = [slide.match for slide in scored]
    lesions = np.concatenate([match.lesions for match in matches])
    curve = froc.froc_curve(np.concatenate([match.false_positives for match in matches]), lesions, len(matches))
    score = froc.froc_score(curve.fps_per_slide, curve.sensitivity)
    report: dict[str, Any] = {
        "froc_score": score.mean,
        "sensitivity": score.sensitivity.tolist(),
        "false_positives_per_slide": list(froc.TARGETS),
        "num_slides": len(matches),
        "num_tumor_slides": sum(slide.row["is_tumor"] for slide in scored),
        "num_lesions": int(lesions.size),
        "num_isolated_tumor_cells": sum(match.num_isolated_tumor_cells for match in matches),
        "settings": {
            **settings._asdict(),
            "grow_um": froc.GROW_UM,
            "isolated_tumor_cells_um": froc.ITC_DIAMETER_UM,
        },
        "warnings": warnings,
        "truth_without_map": without_map,
        "slides": [slide.row for slide in scored],
    }
    write_json(output / "froc.json", report)
    _write_picture(output / "froc.png", curve, report)
    return report


def summary(report: dict[str, Any]) -> str:
    """The report as a short table for the console.

    Args:
        report: what `score_folder` returns.

    Returns:
        Several lines, without a line break at the end.
    """
    rates = "".join(f"{rate:>8g}" for rate in report["false_positives_per_slide"])
    values = "".join(f"{value:>8.3f}" for value in report["sensitivity"])
    lines = [
        f"FROC score {report['froc_score']:.4f} ({_counts(report)})",
        f"false positives per slide {rates}",
        f"sensitivity               {values}",
        *(f"warning: {warning}" for warning in report["warnings"]),
    ]
    return "\n".join(lines)


def read_map_infos(maps: str | Path) -> list[MapInfo]:
    """Read the sidecars of all maps of a folder; other JSON files are passed over.

    Args:
        maps: folder of ``.npy`` files with sidecars.

    Returns:
        One for each map, by name.

    Raises:
        InputError: if the folder is missing or empty, or a sidecar is missing or wrong.
    """
    folder = Path(maps)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of probability maps")
    paths = sorted(path for path in folder.glob("*.npy") if not path.name.startswith("."))
    if not paths:
        raise InputError(f"{folder}: no probability maps (*.npy) found; make them with 'tumor-detection infer'")
    return [_read_info(path) for path in paths]


def _read_info(path: Path) -> MapInfo:
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise InputError(f"{path}: expected its sidecar {sidecar.name} beside it, found none; run inference again")
    content = read_json(sidecar)
    if not isinstance(content, dict):
        raise InputError(f"{sidecar}: expected an object with slide, shape, stride and mpp; run inference again")
    shape, stride, mpp = content.get("shape"), content.get("stride"), content.get("mpp")
    if not (isinstance(shape, list) and len(shape) == 2 and all(_is_count(side) for side in shape)):
        raise InputError(f"{sidecar}: shape: expected [height, width] in level-0 pixels, found {shape}; mend it")
    if not _is_count(stride):
        raise InputError(f"{sidecar}: stride: expected a positive integer of level-0 pixels, found {stride}; mend it")
    if isinstance(mpp, bool) or not isinstance(mpp, (int, float)) or not (math.isfinite(mpp) and mpp > 0):
        raise InputError(f"{sidecar}: mpp: expected µm per level-0 pixel, found {mpp}; add the slide's resolution")
    slide = content.get("slide")
    if not isinstance(slide, str) or path.stem not in (slide, Path(slide).stem):
        raise InputError(
            f"{sidecar}: slide: expected a file named {path.stem!r} like the map, found {slide!r}; mend it"
        )
    return MapInfo(path, slide, (shape[0], shape[1]), stride, float(mpp))


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def read_map(info: MapInfo) -> npt.NDArray[np.floating[Any]]:
    """Read a probability map.

    Args:
        info: its sidecar.

    Returns:
        (rows, cols) floating, [row, col], values in [0, 1].

    Raises:
        InputError: if it is damaged, has another shape than its sidecar says, or other values.
    """
    try:
        prob_map: npt.NDArray[Any] = np.load(info.path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{info.path}: not a readable numpy array ({error}); run inference again") from error
    expected = map_shape(info.slide_shape, info.stride)
    if prob_map.shape != expected:
        raise InputError(
            f"{info.path}: expected shape {expected} for a slide of {info.slide_shape[0]} x {info.slide_shape[1]} at "
            f"stride {info.stride} (from its sidecar), found {prob_map.shape}; run inference again"
        )
    if not np.issubdtype(prob_map.dtype, np.floating):
        raise InputError(f"{info.path}: expected float32 probabilities, found {prob_map.dtype}; run inference again")
    low, high = float(prob_map.min()), float(prob_map.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{info.path}: expected probabilities in [0, 1], found {low:g} to {high:g}; check the weights and run again"
        )
    return prob_map


def _settings(nms_radius_um: float, threshold: float, tumor_value: int | None) -> _Settings:
    if not (math.isfinite(nms_radius_um) and nms_radius_um > 0):
        raise InputError(f"nms_radius_um: expected a positive number of µm, found {nms_radius_um}")
    if not 0 <= threshold < 1:
        raise InputError(f"threshold: expected a number in [0, 1), found {threshold}")
    if tumor_value is not None and not (_is_count(tumor_value) and tumor_value <= 255):
        raise InputError(f"tumor_value: expected a whole number from 1 to 255, found {tumor_value}")
    return _Settings(float(nms_radius_um), float(threshold), tumor_value)


def _normal_names(normal: Sequence[str] | str | int, infos: Sequence[MapInfo]) -> set[str]:
    """Stems of the slides listed as normal; each must be that of a map, by stem or by file name, in any case."""
    # The command line turns a numeric name into a number.
    names = str(normal).split(",") if isinstance(normal, (str, int)) else [str(name) for name in normal]
    stems = {spelling.lower(): info.name for info in infos for spelling in (info.name, info.slide)}
    wanted = [name.strip().lower() for name in names if name.strip()]
    unknown = [name for name in wanted if name not in stems]
    if unknown:
        raise InputError(f"normal: {len(unknown)} names are of no map: {_few(unknown)}; mend them or add their maps")
    return {stems[name] for name in wanted}


def _find_truth(infos: Sequence[MapInfo], folder: TruthFolder, normal: set[str]) -> list[Path | None]:
    """The truth of each map; None for the normal ones without."""
    from .annotations import is_normal_name

    paths = [folder.find(info.name) for info in infos]
    unknown = [
        info.name
        for info, path in zip(infos, paths, strict=True)
        if path is None and info.name not in normal and not is_normal_name(info.name)
    ]
    if unknown:
        raise InputError(
            f"{folder.folder}: no truth for {len(unknown)} of {len(infos)} maps: {_few(unknown)}; add their masks or "
            "annotations, or list the normal ones with --normal NAME,NAME"
        )
    listed = [info.name for info, path in zip(infos, paths, strict=True) if path is not None and info.name in normal]
    if listed:
        raise InputError(
            f"normal: expected slides without truth, found truth in {folder.folder} for {_few(listed)}; "
            "take them off the list or remove their truth"
        )
    return paths


def _missing(maps: Path, slides: Sequence[str], without_map: Sequence[str]) -> list[str]:
    """Warnings about slides that should have a map; without them the score is that of a part of the slides."""
    warnings = []
    if without_map:
        warnings.append(f"{len(without_map)} slides have truth but no map and are not scored: {_few(without_map)}")
    record = maps / "run.json"
    content = read_json(record) if record.is_file() else {}
    failures = content.get("slides_failed", []) if isinstance(content, dict) else []
    names = {Path(str(failure.get("slide"))).name for failure in failures if isinstance(failure, dict)}
    failed = sorted(names - set(slides))
    if failed:
        warnings.append(f"{len(failed)} slides failed in inference and are not scored: {_few(failed)}")
    return warnings


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _detect(info: MapInfo, settings: _Settings) -> froc.Detections:
    radius = max(1, round(settings.nms_radius_um / (info.stride * info.mpp)))
    on_map = froc.non_maximum_suppression(read_map(info), radius, settings.threshold)
    return froc.detections_to_level0(on_map, info.stride, info.slide_shape)


def _score_slide(
    info: MapInfo, detections: froc.Detections, truth_path: Path | None, tumor_value: int | None
) -> _Scored:
    labels, isolated, stride, remark = None, list[int](), info.stride, None
    if truth_path is not None:
        wanted_stride = max(1, round(EVALUATION_PIXEL_UM / info.mpp))
        found = read_truth(truth_path, info.slide_shape, info.stride, wanted_stride, tumor_value)
        if found.mask.any():
            stride = found.stride
            labels = froc.evaluation_mask(found.mask, stride * info.mpp)
            isolated = froc.isolated_tumor_cells(labels, stride * info.mpp)
        remark = _remark(info.name, labels is not None)
    match = froc.match_detections(detections, labels, isolated, stride)
    row = {
        "slide": info.slide,
        "is_tumor": labels is not None,
        "truth": None if truth_path is None else truth_path.name,
        "truth_stride": None if labels is None else stride,
        "num_lesions": int(match.lesions.size),
        "num_lesions_hit": int(np.count_nonzero(match.lesions)),
        "num_isolated_tumor_cells": match.num_isolated_tumor_cells,
        "num_detections": int(detections.prob.size),
        "num_false_positives": int(match.false_positives.size),
        "max_confidence": float(detections.prob.max(initial=0)),
        "lesion_confidences": [float(confidence) for confidence in match.lesions],
    }
    return _Scored(match, row, remark)


def _remark(name: str, is_tumor: bool) -> str | None:
    from .annotations import is_normal_name

    if is_tumor and is_normal_name(name):
        return "are named normal, but their truth marks tumor, which counts"
    if not is_tumor and not is_normal_name(name):
        return "have truth that marks no tumor, and count as normal"
    return None


def _remarks(scored: Sequence[_Scored]) -> list[str]:
    """One warning for each kind of remark."""
    slides: dict[str, list[str]] = {}
    for slide in scored:
        if slide.remark is not None:
            slides.setdefault(slide.remark, []).append(slide.row["slide"])
    return [f"{len(names)} slides {remark}: {_few(names)}" for remark, names in slides.items()]


def _write_detections(path: Path, detections: froc.Detections) -> None:
    # str of a numpy scalar is the shortest text that gives the same value back.
    lines = [f"{prob!s},{col},{row}\n" for prob, row, col in zip(*detections, strict=True)]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(lines), encoding="ascii")


def _write_picture(path: Path, curve: froc.FrocCurve, report: dict[str, Any]) -> None:
    from .plots import froc_figure, write_figure

    figure = froc_figure(
        curve.fps_per_slide,
        curve.sensitivity,
        froc.TARGETS,
        report["sensitivity"],
        report["froc_score"],
        subtitle=_counts(report),
    )
    write_figure(path, figure)


def _counts(report: dict[str, Any]) -> str:
    return (
        f"{report['num_slides']} slides, {report['num_tumor_slides']} with tumor, {report['num_lesions']} lesions, "
        f"{report['num_isolated_tumor_cells']} isolated tumor cells not counted"
    )
