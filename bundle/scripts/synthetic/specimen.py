"""The one piece of real tissue that comes with the bundle, and what the network finds on it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import bundle_root
from ..errors import some_of
from ..files import make_output_dir
from ..maps.files import MapInfo, read_map, read_map_info
from ..maps.findings import FindingSettings, find_lesions
from ..report.pictures import strip_picture
from ..report.report import PAGE, ReportSettings, write_report
from ..scoring.settings import NMS_RADIUS_UM
from ..slides.slide import open_slide
from ..workflow import run_bundle

PARTS = (
    ("metastasis", 0.0, 290.0),
    ("lymphoid tissue", 290.0, 915.0),
    ("vessel", 915.0, 1000.0),
    ("fat", 1000.0, 1093.5),
)
"""What the strip shows, from its upper end on in µm. Judged by eye, by no pathologist."""

_OVERVIEW = 2
_SETTINGS = FindingSettings(0.5, NMS_RADIUS_UM, 0.0)


class Part(NamedTuple):
    """What the map says of a part of the strip.

    Attributes:
        num_positions: pixels of the map that lie in tissue.
        num_above: those of a probability above 0.5.
        highest: highest probability; 0 without tissue.
    """

    num_positions: int
    num_above: int
    highest: float


class Finding(NamedTuple):
    """What the network says of the strip.

    Attributes:
        info: the sidecar of the map.
        num_detections: detections above 0.5, on the whole strip.
        begin_um: where the largest area above 0.5 begins, from the upper end of the strip; 0 if there is none.
        end_um: where it ends; 0 if there is none.
        inside: between begin and end.
        outside: the rest of the strip.
    """

    info: MapInfo
    num_detections: int
    begin_um: float
    end_um: float
    inside: Part
    outside: Part


def strip_path() -> Path:
    """Where the strip lies in the bundle. The model zoo's package does not hold it."""
    return Path(bundle_root()) / "sample" / "metastasis_strip.tif"


def find_metastasis(slide: Path, output: Path) -> Finding:
    """Run inference on the strip as the command `infer` does, with the shipped weights and the defaults.

    Args:
        slide: the strip.
        output: folder for the map.

    Returns:
        What the map says.

    Raises:
        InputError: if the strip is damaged or the output cannot be written.
    """
    run_bundle("inference", "inference.json", {"slides": [str(slide)], "output_dir": str(output)})
    return read_finding(output / f"{slide.stem}.npy")


def read_finding(path: Path) -> Finding:
    """Read what a map says.

    Args:
        path: the map.

    Raises:
        InputError: if the map or its sidecar is missing or damaged.
    """
    info = read_map_info(path)
    prob_map = read_map(info)
    findings = find_lesions(prob_map, info, _SETTINGS)
    begin = end = 0
    if findings.lesions:
        bounds = [part.bounds() for part in max(findings.lesions, key=lambda lesion: lesion.area_um2).parts]
        begin, end = (round(row / info.stride) for row in (min(b[0] for b in bounds), max(b[2] for b in bounds)))
    pixel_um = info.stride * info.mpp
    return Finding(
        info,
        len(findings.detections.prob),
        begin * pixel_um,
        min(end * pixel_um, info.slide_shape[0] * info.mpp),
        _part(prob_map[begin:end]),
        _part(np.concatenate([prob_map[:begin], prob_map[end:]])),
    )


def _part(probabilities: npt.NDArray[np.float32]) -> Part:
    is_above = probabilities > _SETTINGS.threshold
    return Part(int((probabilities > 0).sum()), int(is_above.sum()), float(probabilities.max(initial=0)))


def summary(found: Finding) -> str:
    """What was found, in sentences for people."""
    inside, outside = found.inside, found.outside
    if not inside.num_positions:
        return f"No metastasis was found: no probability is above 0.5, the highest is {outside.highest:.2f}."
    length_um = found.info.slide_shape[0] * found.info.mpp
    return (
        f"A metastasis was found: from {found.begin_um / 1000:.2f} to {found.end_um / 1000:.2f} mm from the upper end "
        f"of the strip, which is {length_um / 1000:.2f} mm long.\n"
        f"Its highest probability is {inside.highest:.3f}. "
        f"There {some_of(inside.num_above, inside.num_positions, 'position', 'is', 'are')} above 0.5.\n"
        f"Elsewhere {some_of(outside.num_above, outside.num_positions, 'position', 'is', 'are')}, with at most "
        f"{outside.highest:.2f}. "
        f"Detections on the whole strip: {found.num_detections}."
    )


def write_views(slide: Path, found: Finding, output: Path) -> tuple[Path, Path]:
    """Draw the strip with its map, and write its report.

    Args:
        slide: the strip.
        found: of its map.
        output: folder for ``<stem>.png`` and for the report's folder ``report``.

    Returns:
        The picture and the page.

    Raises:
        InputError: if the strip is damaged or the output cannot be written.
    """
    picture = make_output_dir(output) / f"{slide.stem}.png"
    info = found.info
    with open_slide(slide) as opened:
        overview = opened.read_overview(_OVERVIEW)
    strip_picture(
        picture,
        overview,
        read_map(info),
        _OVERVIEW * info.mpp,
        info.stride * info.mpp,
        "Real tissue: part of a lymph node",
        PARTS,
    )
    note = "Real tissue: a strip of a CAMELYON17 slide. What it shows was judged by eye, by no pathologist."
    write_report(
        info.path.parent, output / "report", slides=[slide], settings=ReportSettings(title="Real tissue", note=note)
    )
    return picture, output / "report" / PAGE
