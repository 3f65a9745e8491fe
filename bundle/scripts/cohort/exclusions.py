"""Slides that are left out of scores: by name, or by the list of a challenge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import InputError, counted
from ..folders.names import name_key
from .pairing import AnyNamed, find_stems, split_names

EVERYTHING, LESIONS = "everything", "lesions"

EXCLUSIONS = {"camelyon16": {"test_049": EVERYTHING, "test_114": LESIONS}}
"""What slides are left out of, by the name of their list.

CAMELYON16: by the README of the published data set, test_049 is a duplicate, which was removed, and test_114 "does not
have exhaustive annotations" (quoted in https://github.com/hrzhang1123/DTFD-MIL, issue 7). The organizers left the first
out of both tasks and the second out of the lesion task only (https://github.com/DIDSR/dldp). So the published AUCs
count 129 slides, with test_114 among them.
"""


class Exclusion(NamedTuple):
    """What is left out of a score.

    Attributes:
        left_out: names of slides that are there and left out of everything, as they are written there.
        names: all names that are left out of everything, by `folders.names.name_key`.
        without_lesions: names whose lesions are not scored, by the same key; as slides they count. They hold tumor.
    """

    left_out: list[str]
    names: frozenset[str]
    without_lesions: frozenset[str]


def leave_out(infos: Sequence[AnyNamed], exclude: Sequence[str] | str | int) -> tuple[list[AnyNamed], Exclusion]:
    """Leave slides out of a score.

    Args:
        infos: the slides.
        exclude: names of slides, in any case, or of a list in `EXCLUSIONS`: a list, or one comma-separated string.
            A slide of a named list need not be there, any other must.

    Returns:
        The slides that stay, and what is left out.

    Raises:
        InputError: if a name is of no slide, or none is left.
    """
    words = split_names(exclude)
    plain = find_stems([word for word in words if word not in EXCLUSIONS], infos, "exclude")
    listed = [item for word in words for item in EXCLUSIONS.get(word, {}).items()]
    names = frozenset({name_key(name) for name in plain} | {name for name, task in listed if task == EVERYTHING})
    kept = [info for info in infos if name_key(info.name) not in names]
    if not kept:
        raise InputError(f"exclude: names all of {counted(len(infos), 'slide')}, so nothing is left; shorten the list")
    left_out = [info.name for info in infos if name_key(info.name) in names]
    return kept, Exclusion(left_out, names, frozenset(name for name, task in listed if task == LESIONS) - names)
