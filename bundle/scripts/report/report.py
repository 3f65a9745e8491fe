"""The ``report`` step: maps, and truth and slides where they are given, as one HTML page for people to look at."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..cohort.pairing import missing_warnings, scale_warnings, tissue_warnings
from ..errors import InputError, counted, few, one_line
from ..files import make_output_dir
from ..folders.names import name_key, slide_name
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable, is_table
from ..maps.artifacts import read_map_artifacts
from ..maps.files import MapInfo, read_map, read_map_infos
from ..maps.run_file import read_failures
from ..scoring.evaluation import score_folder
from ..scoring.settings import ScoreSettings
from ..scoring.slides import SlideEvidence
from ..slides.reader_process import ReaderProcess
from .content import ShownSlide, page_content
from .missing import MissingMap, find_missing
from .page import file_size, write_page
from .published import PublishedScore
from .slide_views import MapView, describe, read_pixels, slide_bar, verdicts, view_map

logger = logging.getLogger(__name__)

PAGE = "report.html"


class ReportSettings(NamedTuple):
    """What the page shows.

    Attributes:
        num_crops: detections of each slide that are shown at full resolution.
        max_slides: slides that are shown in pictures, the most suspicious; all are in the table.
        title: of the page; made of the number of slides if empty.
        note: a remark at its top, such as that the slides are synthetic.
        published: scores of others, which the page shows beside this one.
    """

    num_crops: int = 4
    max_slides: int = 150
    title: str = ""
    note: str = ""
    published: Sequence[PublishedScore] = ()

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            InputError: names the setting.
        """
        for key in ("num_crops", "max_slides"):
            value = getattr(self, key)
            if type(value) is not int or not 0 <= value <= 100_000:
                raise InputError(f"{key}: expected a whole number of at least 0, found {value}; mend it")


def write_report(
    maps: str | Path,
    output: str | Path,
    truth: str | Path | None = None,
    slides: Sequence[str | Path] = (),
    normal: Sequence[str] | str = (),
    exclude: Sequence[str] | str = (),
    scoring: ScoreSettings | None = None,
    settings: ReportSettings | None = None,
    reference: Sequence[str | Path] = (),
    corrections: str | Path | None = None,
) -> str:
    """Write ``report.html``; with truth also what `scoring.evaluation.score_folder` writes.

    Args:
        maps: folder of probability maps, see `maps.files.read_map_infos`.
        output: folder for the page.
        truth: folder of tumor masks or annotations, see `masks.truth_folder.TruthFolder`; without it the page has no
            scores.
        slides: slides, folders of slides or tables of slides, which may list truth, too; what is not among them is
            shown without its pixels.
        normal: see `scoring.evaluation.score_folder`.
        exclude: see `cohort.exclusions.leave_out`; these slides are shown, but not scored.
        scoring: how detections are found and scored; the defaults if None.
        settings: what the page shows; the defaults if None.
        reference: see `scoring.evaluation.score_folder`.
        corrections: see `scoring.evaluation.score_folder`; slides that it removes are shown, but not scored.

    Returns:
        A line that says what was written.

    Raises:
        InputError: if a setting is out of range, or maps or truth are missing or damaged. A slide that cannot be read
            is a warning on the page.
    """
    scoring, settings = scoring or ScoreSettings(), settings or ReportSettings()
    scoring.check()
    settings.check()
    tables = [path for path in slides if is_table(path)]
    is_scored = truth is not None or SlideTable(tables).has_outlines()
    if corrections is not None and not is_scored:
        raise InputError("corrections: expected truth, by which slides are scored, found none; add --truth")
    infos = read_map_infos(maps)
    slide_paths = {name_key(slide_name(path)): path for path in find_slides(slides)} if slides else {}
    output = make_output_dir(output)
    scores, by_name = None, dict[str, MapView]()
    if is_scored:
        on_slide = partial(_add_scored_view, by_name, scoring)
        scores = score_folder(
            *(maps, truth, output, normal, scoring),
            slides=tables,
            exclude=exclude,
            on_slide=on_slide,
            reference=reference,
            corrections=corrections,
        )
    for info in tqdm([info for info in infos if info.name not in by_name], desc="maps", unit="slide"):
        prob_map = read_map(info)
        found, classes = scoring.find_on(prob_map, info), read_map_artifacts(info)
        by_name[info.name] = view_map(info, prob_map, found, scoring.threshold, classes=classes)
    views = [(info, by_name[info.name]) for info in infos]
    views.sort(key=lambda pair: (-pair[1].score, -pair[1].num_detections, pair[0].name))
    rows = {} if scores is None else {row["slide"]: row for row in scores["slides"]}
    with ReaderProcess() as reader:  # a damaged slide may end the process that decodes it
        shown = [
            _shown_slide(rank, info, view, rows.get(info.slide), slide_paths, settings, reader)
            for rank, (info, view) in enumerate(tqdm(views, desc="slides", unit="slide"), start=1)
        ]
    warnings = scores["warnings"] if scores else _map_warnings(Path(maps), infos)
    missing = find_missing(infos, slide_paths.values(), read_failures(Path(maps)))
    warnings = [*warnings, *_picture_warnings(shown, bool(slides), missing)]
    path = output / PAGE
    said = settings.title, settings.note, settings.published
    size = write_page(path, page_content(infos, shown, scores, warnings, scoring, *said) | {"missing": missing})
    num_pictures = sum(slide.pixels is not None for slide in shown)
    without_map = f", {len(missing)} more without a map" if missing else ""
    return f"{path}: {counted(len(shown), 'slide')}, {num_pictures} with their pixels{without_map}, {file_size(size)}"


def _add_scored_view(views: dict[str, MapView], scoring: ScoreSettings, evidence: SlideEvidence) -> None:
    """Add the view of a slide that was just scored, from what was read for its score."""
    info, prob_map, detections = evidence.case.info, evidence.prob_map, evidence.found.detections
    if not isinstance(info, MapInfo) or prob_map is None:
        raise TypeError(f"expected the evidence of a map, but got that of {info.path}")
    if not evidence.case.facts.counts_lesions:  # its truth is not whole, so it says nothing of a detection
        views[info.name] = view_map(info, prob_map, evidence.found, scoring.threshold, classes=read_map_artifacts(info))
        return
    places = verdicts(detections, evidence.lesions, evidence.case.mpp)
    truth, lesions, classes = evidence.truth, evidence.lesions, read_map_artifacts(info)
    views[info.name] = view_map(info, prob_map, evidence.found, scoring.threshold, truth, lesions, places, classes)


def _shown_slide(
    rank: int,
    info: MapInfo,
    view: MapView,
    row: dict[str, Any] | None,
    slide_paths: dict[str, Path],
    settings: ReportSettings,
    reader: ReaderProcess,
) -> ShownSlide:
    is_shown, pixels, missing = rank <= settings.max_slides, None, ""
    path = slide_paths.get(name_key(info.name))
    if not is_shown:
        shown = counted(settings.max_slides, "most suspicious slide")
        missing = f"Shown without pictures: the page holds those of the {shown}."
    elif path is None:
        missing = "The slide itself was not found, so gray marks its tissue, and there are no details."
    else:
        try:
            pixels = reader.ask(str(path), read_pixels, path, info, view.marks[: settings.num_crops])
        except InputError as error:
            missing = f"The slide cannot be shown: {one_line(error)}"
    kind = "" if row is None else "tumor" if row["is_tumor"] else "no tumor"
    bar = slide_bar(info)
    size = describe(info)
    return ShownSlide(rank, info.slide, info, view, row, kind, size, bar, is_shown, settings.num_crops, pixels, missing)


def _map_warnings(maps: Path, infos: Sequence[MapInfo]) -> list[str]:
    """What scoring would warn of, without truth."""
    warnings = [*missing_warnings(maps, infos, []), *scale_warnings(infos), *tissue_warnings(infos)]
    for warning in warnings:
        logger.warning("%s", warning)
    return warnings


def _picture_warnings(shown: Sequence[ShownSlide], has_slides: bool, missing: Sequence[MissingMap]) -> list[str]:
    warnings = []
    if missing:
        names = few([slide.name for slide in missing])
        warnings.append(
            f"{counted(len(missing), 'slide has', 'slides have')} no map, nothing is known of them: {names}"
        )
    without = [slide.name for slide in shown if slide.is_shown and slide.pixels is None]
    if not has_slides:
        warnings.append("no slides were given (--slides), so maps are shown without tissue and without details")
    elif without:
        warnings.append(f"slides shown without their pixels, see there: {few(without)}")
    if left := sum(not slide.is_shown for slide in shown):
        warnings.append(f"slides in the table alone, without pictures: {left}; --max_slides shows more")
    for warning in warnings:
        logger.warning("%s", warning)
    return warnings
