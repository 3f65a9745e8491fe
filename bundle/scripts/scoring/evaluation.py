"""The ``froc`` step: score a folder of probability maps or of detections against a folder of ground truth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..cohort.classes import remove, stated_classes, tell_apart
from ..cohort.exclusions import Exclusion, leave_out
from ..cohort.facts import gather_facts, reference_warnings
from ..cohort.pairing import (
    missing_warnings,
    name_warnings,
    pair_truth,
    scale_warnings,
    slide_warnings,
    split_names,
    tissue_warnings,
)
from ..cohort.reference import Reference, read_references
from ..cohort.slide_scores import read_slide_scores
from ..errors import InputError, counted, few
from ..files import make_output_dir, write_json, write_table
from ..folders.corrections import Corrections
from ..folders.names import name_key, slide_name
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable
from ..maps.detection_files import find_detection_files, write_detections
from ..maps.files import MapInfo, read_map_infos
from ..masks.truth_folder import TruthFolder
from .cases import CHALLENGE_MPP, Case, detection_cases, map_case, scale_differences, table_differences
from .comparison import compare_runs, other_run
from .plots import write_plots
from .report import Resampling, ScoredSlide, score_report
from .settings import ScoreSettings
from .slides import SlideEvidence, read_evidence, score_slide, truth_doubt

logger = logging.getLogger(__name__)

_SLIDE_COLUMNS = (
    *("slide", "is_tumor", "score", "num_lesions", "num_lesions_hit", "num_isolated_tumor_cells"),
    *("num_detections", "num_false_positives", "max_confidence", "counts_lesions"),
    *("histological_type", "metastasis", "center", "patient", "correction"),
)
_LESION_COLUMNS = ("slide", "lesion", "stratum", "size_um", "area_mm2", "x", "y", "confidence", "is_hit")


def score_folder(
    maps: str | Path | None,
    truth: str | Path | None,
    output: str | Path,
    normal: Sequence[str] | str = (),
    settings: ScoreSettings | None = None,
    detections: str | Path | None = None,
    slides: Sequence[str | Path] = (),
    mpp: float | None = None,
    exclude: Sequence[str] | str = (),
    against: str | Path | None = None,
    on_slide: Callable[[SlideEvidence], None] | None = None,
    reference: str | Path | Sequence[str | Path] = (),
    slide_scores: str | Path | None = None,
    corrections: str | Path | None = None,
) -> dict[str, Any]:
    """Score probability maps, or detections, by CAMELYON16's rules and write the report, the curves and the tables.

    Every slide counts in the denominator. One without truth counts as normal if its name says so or ``normal`` lists
    it. The output gets ``froc.json`` (what is returned), ``froc.png``, ``roc.png``, ``lesions.csv``, ``slides.csv``
    and ``detections/<slide>.csv``, see `detection_files`. One map is in memory at a time.

    Args:
        maps: folder of probability maps, see `maps.files.read_map_infos`, or None.
        truth: folder of tumor masks or annotations, see `masks.truth_folder.TruthFolder`; None, or where it lacks a
            file, what a table of slides lists.
        output: folder for the results.
        normal: names of slides without tumor, a list or one comma-separated string.
        settings: how; the defaults if None.
        detections: folder of detections instead of maps, see `maps.detection_files.find_detection_files`.
        slides: slides, folders of slides or tables of slides: their shapes and scales for detections, which slides
            there are, and what tables say of them.
        mpp: µm per level-0 pixel of all slides, for detections.
        exclude: see `cohort.exclusions.leave_out`; by the protocol of the challenge its list comes on top.
        against: another run on the same slides, see `comparison.find_run`.
        on_slide: is called for each slide with what was read of it, so that nobody reads it again.
        reference: tables of the slides' classes, see `cohort.reference.read_references`; they make ``normal`` needless.
        slide_scores: a table of scores of whole slides in place of the highest probabilities, see
            `cohort.slide_scores.read_slide_scores`; the other run keeps its own.
        corrections: see `folders.corrections.Corrections`; None leaves slides as they are.

    Returns:
        The report.

    Raises:
        InputError: if anything needed is missing, damaged or does not fit, or there is no lesion to find.
    """
    settings = settings or ScoreSettings()
    settings.check()
    if (maps is None) == (detections is None):
        raise InputError("froc scores --maps or --detections; give one of them")
    if settings.monai and detections is not None:
        raise InputError(
            "rules: expected maps, whose stride MONAI's rules read truth at, found detections; give --maps"
        )
    if against is not None and Path(output).resolve() in (Path(against).resolve(), Path(against).resolve().parent):
        raise InputError(f"against {against}: expected another folder than the output, which replaces it; mend one")
    if settings.is_challenge:
        if mpp not in (None, CHALLENGE_MPP):
            raise InputError(
                f"mpp: protocol camelyon16 takes {CHALLENGE_MPP} for all slides, found {mpp}; leave it out"
            )
        mpp = CHALLENGE_MPP
    table, corrected = SlideTable(slides), Corrections(corrections)
    cohort = _find_cohort(
        maps,
        detections,
        TruthFolder(truth, table, corrected),
        normal,
        find_slides(slides) if slides else [],
        mpp,
        exclude,
        settings,
        read_references(reference),
        table,
        corrected,
    )
    given = None if slide_scores is None else read_slide_scores(slide_scores, [case.info for case in cohort.cases])
    others, other_warnings = ({}, []) if against is None else other_run(against, cohort.cases, cohort.excluded.names)
    output = make_output_dir(output)
    make_output_dir(output / "detections")
    scored: list[ScoredSlide] = []
    other_scored: list[ScoredSlide] = []
    doubts: list[str] = []
    for case in tqdm(cohort.cases, desc="froc", unit="slide"):
        evidence = read_evidence(case, settings)
        write_detections(output / "detections" / f"{case.info.name}.csv", evidence.found.detections)
        scored.append(score_slide(case, evidence.found, evidence.lesions))
        if (doubt := truth_doubt(evidence, settings)) is not None:
            doubts.append(doubt)
        if others:
            other = case._replace(info=others[name_key(case.info.name)])
            other_scored.append(score_slide(other, settings.find(other.info), evidence.lesions))
        if on_slide is not None:
            on_slide(evidence)
    warnings = [*cohort.warnings, *_warnings_of(cohort.cases, scored), *doubts, *other_warnings]
    if given is not None:
        scored = [slide.with_score(score) for slide, score in zip(scored, given, strict=True)]
    for warning in warnings:
        logger.warning("%s", warning)
    resampling = Resampling(settings.num_resamples, settings.seed)
    report: dict[str, Any] = {
        **score_report(scored, settings.slide_threshold, settings.monai, resampling),
        "comparison": compare_runs(scored, other_scored, str(against), settings.monai, resampling) if others else None,
        "settings": {
            **settings.report(maps is not None, mpp),
            "slide_scores": None if slide_scores is None else str(slide_scores),
        },
        "excluded": cohort.excluded.left_out,
        "excluded_from_lesions": [case.info.name for case in cohort.cases if not case.facts.counts_lesions],
        "corrections": cohort.corrections,
        "warnings": warnings,
        "truth_without_map": cohort.truth_without_map,
        "lesions": [row for slide in scored for row in slide.lesions],
        "slides": [slide.row for slide in scored],
    }
    write_json(output / "froc.json", report)
    write_table(output / "lesions.csv", _LESION_COLUMNS, report["lesions"])
    write_table(output / "slides.csv", _SLIDE_COLUMNS, report["slides"])
    write_plots(output, report)
    return report


class _Cohort(NamedTuple):
    """The slides that count, what is left out, and what is to be warned of."""

    cases: list[Case]
    excluded: Exclusion
    truth_without_map: list[str]
    warnings: list[str]
    corrections: list[dict[str, str]]


def _find_cohort(
    maps: str | Path | None,
    detections: str | Path | None,
    folder: TruthFolder,
    normal: Sequence[str] | str,
    slides: Sequence[Path],
    mpp: float | None,
    exclude: Sequence[str] | str,
    settings: ScoreSettings,
    references: dict[str, Reference],
    table: SlideTable,
    corrections: Corrections,
) -> _Cohort:
    """Find out what is scored, before anything is read that takes time."""
    warnings: list[str] = []
    if settings.is_challenge:
        exclude = [*split_names(exclude), settings.protocol]
    if maps is not None:
        infos, excluded = leave_out(read_map_infos(maps), exclude)
        corrected = corrections.report(info.name for info in infos)
        infos, excluded = remove(infos, excluded, corrections)
        classes = stated_classes(infos, references, table, corrections)
        facts = gather_facts(infos, classes, excluded, settings.is_challenge)
        truths = pair_truth(infos, folder, normal, facts)
        of_name = {name_key(slide_name(path)): path for path in slides}
        cases = [
            map_case(info, path, of_name.get(name_key(info.name))) for info, path in zip(infos, truths, strict=True)
        ]
        of_table = [] if settings.is_challenge else table_differences(infos, table)
        warnings += [*scale_warnings(infos), *tissue_warnings(infos), *of_table]
    else:
        files, excluded = leave_out(find_detection_files(detections or ""), exclude)
        corrected = corrections.report(file.name for file in files)
        files, excluded = remove(files, excluded, corrections)
        classes = stated_classes(files, references, table, corrections)
        facts = gather_facts(files, classes, excluded, settings.is_challenge)
        truths = pair_truth(files, folder, normal, facts)
        cases = detection_cases(files, truths, slides, mpp, None if settings.is_challenge else table)
    known = [case.info for case in cases]
    without_map = [name for name in folder.names_beyond(info.name for info in known) if name not in excluded.names]
    warnings = [
        *missing_warnings(Path(maps or detections or ""), known, without_map),
        *slide_warnings(known, slides, excluded.names),
        *reference_warnings(known, references, excluded.names),
        *warnings,
        *([] if settings.is_challenge else scale_differences(cases)),
        *settings.truth_warnings(cases),
    ]
    facts = tell_apart(known, facts, table, corrections)
    cases = [case._replace(facts=fact) for case, fact in zip(settings.on_scale(cases), facts, strict=True)]
    return _Cohort(cases, excluded, without_map, warnings, corrected)


def _warnings_of(cases: Sequence[Case], scored: Sequence[ScoredSlide]) -> list[str]:
    """What is to be warned of once the maps and the truth have been read."""
    pairs = list(zip(cases, scored, strict=True))
    maps = [(case.info, slide.score) for case, slide in pairs if isinstance(case.info, MapInfo)]
    empty = [info.slide for info, score in maps if score == 0 and info.has_tissue]
    return [
        *name_warnings(
            [
                (case.info, slide.is_tumor)
                for case, slide in pairs
                if case.truth is not None and case.facts.is_tumor is None
            ]
        ),
        *([f"{counted(len(empty), 'map is', 'maps are')} 0 everywhere: {few(empty)}"] if empty else []),
    ]
