"""Facts of slides: class, center, and whether their lesions are scored; held against the truth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, counted, few
from ..folders.names import name_key
from .exclusions import Exclusion
from .pairing import Named
from .reference import Reference

_LAST_OF_RADBOUD = {"normal": 100, "tumor": 70}
_LAST = {"normal": 160, "tumor": 111}


class SlideFacts(NamedTuple):
    """What is known of a slide besides its truth.

    Attributes:
        is_tumor: its class; None: what its truth says.
        counts_lesions: whether its lesions and false positives are scored.
        histological_type: see `reference.Reference`.
        metastasis: see `reference.Reference`.
        center: where it comes from, or None.
        place: file and row of the table that states the class, for messages; "" without.
        patient: whose slide it is, by a table of slides, or None.
        correction: what a correction does with it, see `folders.corrections.ACTIONS`, or None.
    """

    is_tumor: bool | None = None
    counts_lesions: bool = True
    histological_type: str | None = None
    metastasis: str | None = None
    center: str | None = None
    place: str = ""
    patient: str | None = None
    correction: str | None = None


def gather_facts(
    infos: Sequence[Named], references: Mapping[str, Reference], excluded: Exclusion, is_camelyon16: bool
) -> list[SlideFacts]:
    """What is known of each slide.

    Args:
        infos: the slides.
        references: of `classes.stated_classes`.
        excluded: of `exclusions.leave_out`; a slide without scored lesions holds tumor.
        is_camelyon16: whether names are those of CAMELYON16, so that they say the center.

    Returns:
        One for each slide.
    """
    facts = []
    for info in infos:
        key = name_key(info.name)
        row = references.get(key, Reference(""))
        counts_lesions = key not in excluded.without_lesions
        facts.append(
            SlideFacts(
                True if row.is_tumor is None and not counts_lesions else row.is_tumor,
                counts_lesions,
                row.histological_type,
                row.metastasis,
                row.center or (training_center(info.name) if is_camelyon16 else None),
                row.place,
            )
        )
    return facts


def training_center(name: str) -> str | None:
    """The center of a slide of CAMELYON16's training set, by its name.

    Of Radboud UMC are normal_001 to normal_100 and tumor_001 to tumor_070, of UMC Utrecht the others. tumor_111 was
    normal_086 before the organizers corrected its class, so it is of Radboud. Names of test slides say nothing.

    Args:
        name: the slide's name, in any case.

    Returns:
        ``Radboud``, ``Utrecht`` or None.
    """
    found = re.fullmatch(r"(normal|tumor)_(\d{3})", name.lower())
    if found is None or not 1 <= int(found[2]) <= _LAST[found[1]]:
        return None
    return "Radboud" if int(found[2]) <= _LAST_OF_RADBOUD[found[1]] or found[0] == "tumor_111" else "Utrecht"


def check_class(facts: SlideFacts, truth: Path, marks_tumor: bool) -> None:
    """Refuse truth that contradicts a reference table.

    Args:
        facts: of the slide.
        truth: its mask or annotation.
        marks_tumor: whether that marks tumor.

    Raises:
        InputError: names the table, its row, the file and the way out.
    """
    if facts.place and facts.is_tumor is not None and facts.is_tumor != marks_tumor and facts.counts_lesions:
        stated, found = ("Tumor", "marks none") if facts.is_tumor else ("Normal", "marks tumor")
        raise InputError(
            f"{facts.place}: the slide is {stated}, but its truth {truth} {found}; mend the row or the truth, or leave "
            "the slide out with --exclude"
        )


def reference_warnings(
    infos: Sequence[Named], references: Mapping[str, Reference], excluded: frozenset[str]
) -> list[str]:
    """Warn of slides of which only the maps or only the reference tables know.

    Args:
        infos: the slides.
        references: of `reference.read_references`; none, no warnings.
        excluded: names that are left out of everything, by `folders.names.name_key`.

    Returns:
        At most one warning of each kind.
    """
    if not references:
        return []
    names = {name_key(info.name) for info in infos}
    unknown = [info.name for info in infos if name_key(info.name) not in references]
    missing = sorted(references.keys() - names - excluded)
    return [
        *([f"slides that are in no reference table: {few(unknown)}"] if unknown else []),
        *(
            [
                f"{counted(len(missing), 'slide of the reference table has', 'slides of the reference table have')} no "
                f"map, not scored: {few(missing)}"
            ]
            if missing
            else []
        ),
    ]
