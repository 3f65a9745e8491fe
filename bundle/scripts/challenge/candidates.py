"""Which slides of the data set may take part, and the class of the test slides by the reference table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..annotations.annotations import Annotation, index_annotations, read_annotation
from ..cohort.exclusions import EXCLUSIONS, LESIONS
from ..cohort.facts import SlideFacts, check_class
from ..cohort.reference import Reference, read_references
from ..errors import InputError
from ..folders.corrections import Corrections
from ..folders.names import SLIDE_SUFFIXES, name_key
from ..folders.search import files_below, find_slides
from ..storage.bucket import REFERENCE_TABLES
from .cohort import TEST, Member, choose_subset, make_member
from .layout import Layout

logger = logging.getLogger(__name__)


class Candidates(NamedTuple):
    """Slides of the data set.

    Attributes:
        members: that may take part.
        absent: slides of the reference table without a file or an annotation, and slides whose annotation is damaged,
            by name, each with the reason.
        num_unknown: files whose names are none of the challenge's.
    """

    members: list[Member]
    absent: dict[str, str]
    num_unknown: int


def find_tables(layout: Layout, given: str | Sequence[str] | None) -> list[Path]:
    """The challenge's reference table, and others that add to it, such as one of the centers.

    Args:
        layout: where the data set lies.
        given: its path, or those of several; None looks in the data set's folder and the folders in it.

    Returns:
        The tables; none where none is given and none found.

    Raises:
        InputError: if one is given and missing, or several are found.
    """
    if given is not None:
        paths = [given] if isinstance(given, str) else given
        for path in paths:
            if not Path(path).is_file():
                raise InputError(f"reference {path}: no such file; give the challenge's table, or leave it out")
        return [Path(path) for path in paths]
    found = [
        path for name in REFERENCE_TABLES for place in ("", "*/") for path in sorted(layout.root.glob(f"{place}{name}"))
    ]
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1]}: expected one reference table; name it with --reference")
    return found


def slides_of(layout: Layout) -> list[Path]:
    """Files of the data set that are slides.

    Raises:
        InputError: if the folder or slides are missing.
    """
    if not layout.root.is_dir():
        raise InputError(f"root {layout.root}: no such folder; give the data set's, or --download true to get it")
    if not files_below(layout.root, SLIDE_SUFFIXES):
        raise InputError(f"root {layout.root}: no slides found; copy the data set there, or give --download true")
    return find_slides(layout.root)


def find_candidates(layout: Layout, tables: Sequence[Path], subset: int | None, seed: int) -> Candidates:
    """Find the slides of the data set, and hold the reference table against the annotations.

    Without a table a test slide has tumor if its annotation marks some.

    Args:
        layout: where the data set lies; with given weights only test slides are found.
        tables: see `find_tables`.
        subset: slides of each kind, or None for all.
        seed: of their choice.

    Raises:
        InputError: if the table is damaged or contradicts an annotation: names its row; see `cohort.choose_subset`.
    """
    annotations, damaged = _test_annotations(layout)
    references = read_references(tables)
    paths = [path.relative_to(layout.root).as_posix() for path in slides_of(layout)]
    corrections = Corrections(layout.corrections)
    tumor = _tumor_tests(annotations, references, corrections)
    named = [member for member in (make_member(path, tumor) for path in paths) if member is not None]
    num_unknown = len(paths) - len(named)
    found = [_corrected(member, corrections) for member in named if not corrections.is_removed(member.name)]
    references = {name: row for name, row in references.items() if not corrections.is_removed(name)}
    absent = _absent(found, {*annotations, *damaged}, references, layout) if subset is None else {}
    absent |= {member.name: damaged[member.name] for member in found if member.name in damaged}
    members = [member for member in found if member.name not in absent]
    if layout.trains() is not None:
        members = [member for member in members if member.part == TEST]
    chosen = members if subset is None else choose_subset(members, subset, seed)
    return Candidates(chosen, absent, num_unknown)


def _test_annotations(layout: Layout) -> tuple[dict[str, Annotation], dict[str, str]]:
    """The annotations of the test slides by name, and of damaged ones the reason."""
    index = index_annotations(layout.annotations)
    found, damaged = {}, {}
    for key in index.keys():  # noqa: SIM118
        if key.startswith("test_"):
            try:
                found[key] = read_annotation(index[key])
            except InputError as error:
                logger.error("%s", error)
                damaged[key] = str(error)
    return found, damaged


def _corrected(member: Member, corrections: Corrections) -> Member:
    action = corrections.action(member.name)
    return member if action is None else member._replace(is_tumor=action == "tumor")


def _tumor_tests(
    annotations: Mapping[str, Annotation], references: Mapping[str, Reference], corrections: Corrections
) -> set[str]:
    """Names of the test slides with tumor; refuses what the table and an annotation say differently."""
    tumor = {name for name, annotation in annotations.items() if annotation.tumor}
    without_lesions = {name for name, what in EXCLUSIONS["camelyon16"].items() if what == LESIONS}
    for name, row in references.items():
        if name in annotations and corrections.action(name) is None:
            facts = SlideFacts(row.is_tumor, name not in without_lesions, place=row.place)
            check_class(facts, annotations[name].path, name in tumor)
    tumor |= {name for name, row in references.items() if row.is_tumor}
    return tumor


def _absent(
    members: list[Member], annotated: set[str], references: Mapping[str, Reference], layout: Layout
) -> dict[str, str]:
    """Slides of the table that cannot be scored, and why."""
    there = {member.name for member in members}
    excluded = EXCLUSIONS["camelyon16"]
    absent = {}
    for name, row in references.items():
        if not name.startswith("test_") or name in excluded:
            continue
        if name not in there:
            absent[name] = f"{row.place}: the slide {name} is not in {layout.root}; add it, or remove the row"
        elif row.is_tumor and name not in annotated:
            absent[name] = f"{row.place}: the slide {name} is Tumor, but {layout.annotations} has no annotation; add it"
    for member in members:
        if references and member.part == TEST and name_key(member.name) not in references:
            logger.warning("%s: in no reference table, so its annotation alone says its class", member.path)
    return absent
