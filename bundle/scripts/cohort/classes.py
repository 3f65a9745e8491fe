"""Classes of slides as reference tables, tables of slides and corrections state them, the later over the earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..folders.corrections import Corrections
from ..folders.names import name_key
from ..folders.slide_table import SlideTable
from .exclusions import Exclusion
from .facts import SlideFacts
from .pairing import AnyNamed, Named
from .reference import Reference


def stated_classes(
    infos: Sequence[Named], references: Mapping[str, Reference], table: SlideTable, corrections: Corrections
) -> dict[str, Reference]:
    """What is stated of each slide.

    Args:
        infos: the slides.
        references: of `reference.read_references`.
        table: its labels count over the reference tables' classes.
        corrections: their classes count over both.

    Returns:
        By `folders.names.name_key`; a slide of which nothing is stated is missing.
    """
    found = dict(references)
    for info in infos:
        key, row, correction = name_key(info.name), table.get(info.name), corrections.get(info.name)
        if row is not None and row.label is not None:
            found[key] = found.get(key, Reference(""))._replace(place=row.place, is_tumor=row.label == "tumor")
        if correction is not None and correction.action != "remove":
            is_tumor = correction.action == "tumor"
            found[key] = found.get(key, Reference(""))._replace(place=correction.place, is_tumor=is_tumor)
    return found


def remove(
    infos: Sequence[AnyNamed], excluded: Exclusion, corrections: Corrections
) -> tuple[list[AnyNamed], Exclusion]:
    """Leave out what corrections remove, and say on the console what is corrected.

    Raises:
        InputError: if no slide is left.
    """
    kept = corrections.without_removed([info.name for info in infos])
    removed = frozenset(name_key(info.name) for info in infos if info.name not in kept)
    return [info for info in infos if info.name in kept], excluded._replace(names=excluded.names | removed)


def tell_apart(
    infos: Sequence[Named], facts: Sequence[SlideFacts], table: SlideTable, corrections: Corrections
) -> list[SlideFacts]:
    """Facts of slides with their patients and corrections."""
    pairs = [(fact, table.get(info.name), info.name) for info, fact in zip(infos, facts, strict=True)]
    return [
        fact._replace(patient=None if row is None else row.patient, correction=corrections.action(name))
        for fact, row, name in pairs
    ]
