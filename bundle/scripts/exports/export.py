"""The ``export`` step: a folder of probability maps in forms that other programs open."""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ..annotations.annotations import geojson_origin
from ..errors import InputError, counted
from ..files import make_output_dir
from ..folders.names import name_key, slide_name
from ..folders.search import find_slides
from ..maps.artifacts import read_map_artifacts
from ..maps.files import find_maps, read_map, read_map_info, with_bounds
from ..maps.findings import FindingSettings, find_lesions
from ..scoring.settings import NMS_RADIUS_UM
from .dicom_maps import write_parametric_map
from .finding_writers import write_asap, write_detection_table, write_geojson, write_lesion_table
from .heatmap_writers import write_ome_tiff, write_ome_zarr

logger = logging.getLogger(__name__)

_OF_FINDINGS: dict[str, dict[str, Callable[..., None]]] = {
    "geojson": {".geojson": write_geojson},
    "asap": {".xml": write_asap},
    "csv": {"_lesions.csv": write_lesion_table, "_detections.csv": write_detection_table},
}
_OF_MAP: dict[str, dict[str, Callable[..., None]]] = {
    "ome-tiff": {".ome.tiff": write_ome_tiff},
    "zarr": {".ome.zarr": write_ome_zarr},
}

FORMATS = (*_OF_FINDINGS, *_OF_MAP, "dicom")
"""What can be written; each goes into a folder of its name."""

_ALIASES = {"ome-zarr": "zarr"}

_EXTRA_MODULES = {"zarr": ("zarr", "numcodecs"), "dicom": ("highdicom",)}


class ExportSummary(NamedTuple):
    """What was written."""

    num_maps: int
    num_lesions: int
    num_detections: int
    formats: tuple[str, ...]
    output: Path

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{counted(self.num_maps, 'map')} as {', '.join(self.formats)} in {self.output}: "
            f"{counted(self.num_lesions, 'lesion')}, {counted(self.num_detections, 'detection')}"
        )


def export_maps(
    maps: str | Path,
    output: str | Path,
    formats: Sequence[str] | str,
    settings: FindingSettings = FindingSettings(0.5, NMS_RADIUS_UM, 0.0),  # noqa: B008
    slides: str | Path | Sequence[str | Path] | None = None,
    origin: str = "bounds",
) -> ExportSummary:
    """Write each map in each of the formats, in place of an earlier export's.

    Args:
        maps: folder of maps with sidecars, see `maps.files.read_map_info`.
        output: gets a folder for each format; in it files are named by slide.
        formats: some of `FORMATS`; several may stand in one text, separated by commas. ``ome-zarr`` is ``zarr``.
        settings: what counts as a finding.
        slides: slides or folders of slides: for ``dicom``, see `dicom_maps.source_image`, and for ``geojson`` the part
            that was scanned, where the maps do not state it.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.

    Returns:
        Counts.

    Raises:
        InputError: if a setting is out of range, a package is missing, nothing is found, the output cannot be written,
            or, after all others are done, if maps could not be exported.
    """
    chosen = _chosen(formats)
    _check(settings)
    geojson_origin(origin, (0, 0))
    paths = find_maps(maps)
    slide_of = {} if slides is None else {name_key(slide_name(path)): path for path in find_slides(slides)}
    folders = {name: make_output_dir(Path(output) / name) for name in chosen}
    num_lesions = num_detections = 0
    failures: list[InputError] = []
    for path in tqdm(paths, desc="export", unit="map"):
        try:
            info = with_bounds(read_map_info(path), slide_of.get(name_key(path.stem)))
            info = info._replace(bounds_origin=geojson_origin(origin, info.bounds_origin))
            prob_map = read_map(info)
            findings = find_lesions(prob_map, info, settings, read_map_artifacts(info))
            for name, folder in folders.items():
                for suffix, write in _OF_FINDINGS.get(name, {}).items():
                    write(folder / f"{info.name}{suffix}", findings)
                for suffix, write in _OF_MAP.get(name, {}).items():
                    write(folder / f"{info.name}{suffix}", prob_map, info)
                if name == "dicom":
                    if slides is not None and name_key(info.name) not in slide_of:
                        raise InputError(f"{path}: --slides has no slide named {info.name!r}; add it or leave the flag")
                    write_parametric_map(folder / f"{info.name}.dcm", prob_map, info, slide_of.get(name_key(info.name)))
        except InputError as error:
            logger.error("%s", error)
            failures.append(error)
            continue
        num_lesions += len(findings.lesions)
        num_detections += len(findings.detections.prob)
    if failures:
        raise InputError(
            f"{len(failures)} of {counted(len(paths), 'map')} failed, the others are done; first: {failures[0]}"
        )
    return ExportSummary(len(paths), num_lesions, num_detections, chosen, Path(output))


def _chosen(formats: Sequence[str] | str) -> tuple[str, ...]:
    texts = [formats] if isinstance(formats, str) else formats
    names = [name.strip().lower() for text in texts for name in text.split(",") if name.strip()]
    chosen = tuple(dict.fromkeys(_ALIASES.get(name, name) for name in names))
    if "wsinfer" in chosen:
        raise InputError(
            "format wsinfer: holds a network, not maps; make it with 'tumor-detection package --format wsinfer'"
        )
    unknown = [name for name in chosen if name not in FORMATS]
    if unknown or not chosen:
        raise InputError(f"format: expected some of {', '.join(FORMATS)}, found {', '.join(unknown) or 'none'}")
    for name in chosen:
        missing = [module for module in _EXTRA_MODULES.get(name, ()) if importlib.util.find_spec(module) is None]
        if missing:
            raise InputError(
                f"format {name}: needs the package {missing[0]}, which is not installed; "
                "install it with: pip install 'pathology-tumor-detection[export]'"
            )
    return chosen


def _check(settings: FindingSettings) -> None:
    if not 0 <= settings.threshold < 1:
        raise InputError(f"threshold: expected a number in [0, 1), found {settings.threshold}")
    if not (math.isfinite(settings.nms_radius_um) and settings.nms_radius_um > 0):
        raise InputError(f"nms_radius_um: expected a positive number of µm, found {settings.nms_radius_um}")
    if not (math.isfinite(settings.min_area_um2) and settings.min_area_um2 >= 0):
        raise InputError(f"min_area_um2: expected an area of 0 or more, found {settings.min_area_um2}")
