"""Sample centers of training regions from slides and their truth, where no coordinate file exists."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..annotations.annotations import geojson_origin
from ..cohort.classes import stated_classes
from ..cohort.pairing import split_names
from ..cohort.reference import Reference, read_references
from ..errors import InputError, counted
from ..folders.corrections import Corrections
from ..folders.names import name_key, slide_file_name, slide_name
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable
from ..masks.truth_folder import TruthFolder
from ..slides.reader_process import ReaderProcess
from ..slides.slide import check_reading
from .drawing import draw_regions
from .regions import Regions, check_output, find_truths, write_regions
from .strata import share_out
from .survey import Survey, survey_slide
from .thumbnails import mark_points, write_contact_sheet

logger = logging.getLogger(__name__)

BOUNDARY_UM = 250.0
"""How far from the boundary of tumor a point counts as near it, on either side."""


class SampleSettings(NamedTuple):
    """What to draw.

    Attributes:
        num_tumor: regions with a tumor center, of all slides.
        num_normal: regions with a normal center; None takes as many as there are with a tumor center.
        boundary_share: share of each that lies within `BOUNDARY_UM` of the boundary of tumor, where a slide has one.
        stride: level-0 pixels per pixel of the map that is drawn from, with at most one point per pixel.
        seed: of everything random.
    """

    num_tumor: int = 10_000
    num_normal: int | None = None
    boundary_share: float = 0.5
    stride: int = 64
    seed: int = 0

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            InputError: if one is.
        """
        for name, least in (("num_tumor", 0), ("num_normal", 0), ("stride", 1), ("seed", 0)):
            value = getattr(self, name)
            if not (value is None and name == "num_normal") and (type(value) is not int or value < least):
                raise InputError(f"{name}: expected a whole number from {least} on, found {value!r}; mend it")
        if not (math.isfinite(self.boundary_share) and 0 <= self.boundary_share <= 1):
            raise InputError(f"boundary_share: expected a number from 0 to 1, found {self.boundary_share}; mend it")
        if not self.num_tumor and not self.num_normal:
            raise InputError("num_tumor, num_normal: expected at least one region, found 0 and none; ask for some")


class SampleSummary(NamedTuple):
    """What was drawn: regions with a tumor and with a normal center, and the slides that have any."""

    num_tumor: int
    num_normal: int
    num_slides: int

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{counted(self.num_tumor + self.num_normal, 'region')} of {counted(self.num_slides, 'slide')}: "
            f"{self.num_tumor} with a tumor "
            f"center, {self.num_normal} with a normal one"
        )


def sample_regions(
    slides: str | Path | Sequence[str | Path],
    truth: str | Path | None,
    output: str | Path,
    settings: SampleSettings = SampleSettings(),  # noqa: B008
    normal: Sequence[str] | str = (),
    foreground_dir: str | Path | None = None,
    tumor_value: int | None = None,
    backend: str = "auto",
    assume_mpp: float | None = None,
    origin: str = "bounds",
    corrections: str | Path | None = None,
    reference: str | Path | Sequence[str | Path] = (),
) -> SampleSummary:
    """Draw region centers in tumor and in normal tissue, and write them with their labels as a loclabel file.

    Each class is shared among the slides equally, as far as each has room: tumor among the slides that have some,
    normal tissue among all. In a slide every piece of tumor gets one point before any gets a second, as far as its
    share goes, and of each class `SampleSettings.boundary_share` lies within `BOUNDARY_UM` of the boundary. Which
    points are drawn depends on the seed, the names and the slides, not on the order in which slides are given. A
    picture of every slide with its points is written beside the CSV, as ``<output stem>.jpg``.

    Args:
        slides: slides, folders of slides or tables of slides, see `folders.slide_table`.
        truth: folder of tumor masks or annotations, see `masks.truth_folder.TruthFolder`; a slide without a file is
            normal if its name or a table says so or ``normal`` lists it. None, or where it lacks a file: what a table
            lists.
        output: the CSV file to write, one slide after the other, tumor first.
        settings: see `SampleSettings`.
        normal: names of slides without tumor, a list or one comma-separated string.
        foreground_dir: folder of masks ``<stem>.png`` made for this stride; None computes them.
        tumor_value: see `masks.truth.read_truth`.
        backend: see `slides.slide.open_slide`.
        assume_mpp: µm per level-0 pixel, over what the slides say.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.
        corrections: see `folders.corrections.Corrections`; None leaves slides as they are.
        reference: tables of the slides' classes, see `cohort.reference.read_references`; they make ``normal`` needless.

    Returns:
        Counts.

    Raises:
        InputError: if a setting is out of range, a slide or its truth is missing or damaged, or a class that is
            wanted is nowhere to be found; nothing is written then.
    """
    settings.check()
    check_reading(backend, assume_mpp)
    geojson_origin(origin, (0, 0))
    path = check_output(output)
    if foreground_dir is not None and not Path(foreground_dir).is_dir():
        raise InputError(f"foreground_dir {foreground_dir}: no such folder of masks; make it with step 2, foreground")
    paths, table = find_slides(slides), SlideTable(slides)
    corrected = Corrections(corrections)
    kept = corrected.without_removed([slide_name(path) for path in paths])
    paths = [path for path in paths if slide_name(path) in kept]
    folder = TruthFolder(truth, table, corrected)
    classes = stated_classes([_NamedPath(path) for path in paths], read_references(reference), table, corrected)
    truth_paths = find_truths(paths, folder, [*split_names(normal), *_normal_by_tables(paths, folder, classes)])
    surveys: list[Survey] = []
    failures: list[InputError] = []
    with ReaderProcess() as reader:  # a damaged slide may end the process that decodes it
        for slide_path, truth_path in zip(tqdm(paths, desc="tissue", unit="slide", delay=2), truth_paths, strict=True):
            rng = _generator(settings.seed, slide_name(slide_path), 0)
            mpp = table.mpp(slide_path, assume_mpp)
            drawn_from = truth_path, settings.stride, BOUNDARY_UM, foreground_dir, tumor_value, backend, mpp, origin
            try:
                survey = reader.ask(str(slide_path), survey_slide, rng, slide_path, *drawn_from)
            except InputError as error:
                logger.error("%s", error)
                failures.append(error)
                continue
            row = classes.get(name_key(survey.name))
            if row is not None and row.is_tumor is False and survey.num_tumor:
                raise InputError(
                    f"{row.place}: the slide is Normal, but its truth {truth_path} marks tumor; mend the row or the "
                    "truth, or take the slide out with --corrections"
                )
            surveys.append(survey)
    if failures:
        raise InputError(
            f"{len(failures)} of {counted(len(paths), 'slide')} failed, nothing is written; first: {failures[0]}"
        )
    num_tumor = _shares("tumor", [survey.num_tumor for survey in surveys], settings.num_tumor, settings.stride)
    wanted = int(num_tumor.sum()) if settings.num_normal is None else settings.num_normal
    num_normal = _shares("normal", [survey.num_normal for survey in surveys], wanted, settings.stride)
    bar = tqdm(surveys, desc="sample", unit="slide", delay=2)
    rows = [
        draw_regions(
            *(_generator(settings.seed, survey.name, 1), survey, int(of_tumor), int(of_normal)),
            *(settings.stride, settings.boundary_share, tumor_value),
        )
        for survey, of_tumor, of_normal in zip(bar, num_tumor, num_normal, strict=True)
    ]
    write_regions(path, rows)
    pictures = [
        mark_points(survey.thumbnail, survey.shape, regions) for survey, regions in zip(surveys, rows, strict=True)
    ]
    write_contact_sheet(path.with_suffix(".jpg"), pictures, [_title(regions) for regions in rows])
    total_tumor = sum(int(regions.labels[:, 1, 1].sum(dtype=np.int64)) for regions in rows)
    total = sum(len(regions.centers) for regions in rows)
    num_slides = sum(len(regions.centers) > 0 for regions in rows)
    return SampleSummary(total_tumor, total - total_tumor, num_slides)


class _NamedPath(NamedTuple):
    """A slide by its file."""

    path: Path

    @property
    def name(self) -> str:
        """The slide's stem."""
        return slide_name(self.path)

    @property
    def slide(self) -> str:
        """The slide's file name."""
        return slide_file_name(self.path)


def _normal_by_tables(paths: Sequence[Path], folder: TruthFolder, classes: Mapping[str, Reference]) -> list[str]:
    """Names of slides without truth that tables call normal; refuses those that they call tumor."""
    normal = []
    for name in map(slide_name, paths):
        row = classes.get(name_key(name))
        if row is None or row.is_tumor is None or folder.find(name) is not None:
            continue
        if row.is_tumor:
            raise InputError(
                f"{row.place}: the slide is Tumor, but {folder.folder} has no annotation or mask of {name}; add it, or "
                "mend the row"
            )
        normal.append(name)
    return normal


def _title(regions: Regions) -> str:
    num_tumor = int(regions.labels[:, 1, 1].sum(dtype=np.int64))
    return f"{regions.name}: {num_tumor} tumor, {len(regions.centers) - num_tumor} normal"


def _generator(seed: int, name: str, step: int) -> np.random.Generator:
    """A slide's own generator, so that slides do not depend on their order and on each other."""
    return np.random.default_rng([seed, step, *hashlib.sha256(name.encode()).digest()])


def _shares(kind: str, capacities: Sequence[int], wanted: int, stride: int) -> npt.NDArray[np.int64]:
    """Share a class among slides; warn where there is too little of it, refuse where there is none."""
    shares = share_out(capacities, wanted)
    found = int(shares.sum())
    if wanted and not found:
        raise InputError(
            f"num_{kind}: expected {counted(wanted, 'region')} with a {kind} center, found no {kind} tissue in "
            f"{counted(len(capacities), 'slide')}; add slides that have some, or give --num_{kind} 0"
        )
    if found < wanted:
        logger.warning(
            "num_%s: expected %s with a %s center, found room for %d, one per map pixel of %d x %d level-0 "
            "pixels; ask for fewer, add slides or give a smaller --stride",
            kind,
            counted(wanted, "region"),
            kind,
            found,
            stride,
            stride,
        )
    return shares
