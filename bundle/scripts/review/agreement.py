"""Whether two reviewers agree: Cohen's kappa of their verdicts on the same detections, and where they differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import shapely
from shapely.geometry import shape

from ..annotations.verdicts import DRAWN_SOURCE, Mark, read_verdicts
from ..errors import InputError, counted, few
from ..folders.index import NameIndex


class Difference(NamedTuple):
    """A place that two reviewers judge differently.

    Attributes:
        slide: its name.
        name: of the detection or outline.
        point_xy: (x, y) as both files have it.
        verdicts: of the first and the second reviewer; None if one did not draw what the other drew.
        comments: of both.
    """

    slide: str
    name: str
    point_xy: tuple[float, float]
    verdicts: tuple[str | None, str | None]
    comments: tuple[str, str]

    def __str__(self) -> str:
        """One line for people."""
        said = " and ".join("nothing" if verdict is None else verdict for verdict in self.verdicts)
        comments = "".join(f"; {text}" for text in self.comments if text)
        return f"{self.slide}, {self.name} at {self.point_xy[0]:.0f}, {self.point_xy[1]:.0f}: {said}{comments}"


class ReviewerAgreement(NamedTuple):
    """How far two reviewers agree.

    Attributes:
        num_slides: slides of both.
        num_both: detections that both judged.
        num_alike: those of one verdict.
        kappa: see `cohens_kappa`.
        num_one: detections that only one of them judged.
        differences: by slide, detections first.
    """

    num_slides: int
    num_both: int
    num_alike: int
    kappa: float
    num_one: int
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        """A line for people, then a line for each difference."""
        kappa = "not defined, for all verdicts are alike" if math.isnan(self.kappa) else f"{self.kappa:.3f}"
        head = (
            f"{counted(self.num_slides, 'slide')}, {counted(self.num_both, 'detection')} judged by both: "
            f"{self.num_alike} alike, "
            f"Cohen's kappa {kappa}; {self.num_one} judged by one alone; {counted(len(self.differences), 'difference')}"
        )
        return "\n".join([head, *map(str, self.differences)])


def cohens_kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """How far two reviewers agree beyond chance (J. Cohen, Educational and Psychological Measurement 20, 1960).

    Args:
        first: (N,) verdicts of one, N at least 1.
        second: (N,) verdicts of the other on the same.

    Returns:
        1 if they always agree, 0 if as often as by chance; NaN if both give one and the same verdict always.
    """
    num = len(first)
    observed = sum(one == other for one, other in zip(first, second, strict=True)) / num
    counts, others = Counter(first), Counter(second)
    by_chance = sum(counts[verdict] * others[verdict] for verdict in counts) / num**2
    return math.nan if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def compare_reviewers(first: str | Path, second: str | Path) -> ReviewerAgreement:
    """Compare the verdicts in two folders, which two people gave on findings of the same maps.

    Detections are the same if their ids are. Outlines that one drew and that touch no outline of tumor of the other are
    differences, too.

    Args:
        first: folder of verdicts, ``<slide>.geojson``.
        second: likewise.

    Returns:
        The agreement.

    Raises:
        InputError: if a folder or file is missing or damaged, or there is nothing that both judged.
    """
    folders = [NameIndex(folder, (".geojson",), "verdict") for folder in (first, second)]
    names = sorted(set(folders[0].keys()) & set(folders[1].keys()))
    if not names:
        raise InputError(
            f"{second}: expected verdicts on slides of {first} ({few(sorted(folders[0].keys())) or 'none'}), found "
            f"{few(sorted(folders[1].keys())) or 'none'}; give two reviews of the same slides"
        )
    pairs: list[tuple[str, str]] = []
    differences: list[Difference] = []
    num_one = 0
    for name in names:
        paths = [path for folder in folders if (path := folder.get(name)) is not None]
        marks = [read_verdicts(path) for path in paths]
        others = {mark.id: mark for mark in marks[1] if mark.is_detection}
        for mark in marks[0]:
            other = others.get(mark.id)
            if other is None or not mark.is_detection:
                continue
            if mark.verdict is None or other.verdict is None:
                num_one += mark.verdict != other.verdict
                continue
            pairs.append((mark.verdict, other.verdict))
            if mark.verdict != other.verdict:
                verdicts, comments = (mark.verdict, other.verdict), (mark.comment, other.comment)
                differences.append(Difference(paths[0].stem, mark.name, mark.point_xy, verdicts, comments))
        for mark in _drawn_alone(*marks):
            differences.append(
                Difference(paths[0].stem, mark.name, mark.point_xy, (mark.verdict, None), (mark.comment, ""))
            )
        for mark in _drawn_alone(*marks[::-1]):
            differences.append(
                Difference(paths[0].stem, mark.name, mark.point_xy, (None, mark.verdict), ("", mark.comment))
            )
    if not pairs:
        raise InputError(
            f"{second}: expected detections that were judged in {first}, too, found none in "
            f"{counted(len(names), 'slide')}; give "
            "two reviews of the same maps"
        )
    num_alike = sum(one == other for one, other in pairs)
    kappa = cohens_kappa([one for one, _ in pairs], [other for _, other in pairs])
    return ReviewerAgreement(len(names), len(pairs), num_alike, kappa, num_one, tuple(differences))


def _drawn_alone(marks: Sequence[Mark], others: Sequence[Mark]) -> list[Mark]:
    """Outlines of tumor that one drew and that touch no outline of tumor of the other."""
    outlines = [mark.geometry for mark in others if mark.verdict == "tumor" and not mark.is_detection]
    tumor = shapely.union_all([shapely.make_valid(shape(geometry)) for geometry in outlines])
    return [
        mark
        for mark in marks
        if mark.source == DRAWN_SOURCE
        and mark.verdict == "tumor"
        and not shapely.intersects(tumor, shapely.make_valid(shape(mark.geometry)))
    ]
