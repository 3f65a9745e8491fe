"""Which slides take part: their kinds by name, a few of each kind for an evening, some to validate on. Pure."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..cohort.exclusions import EXCLUSIONS
from ..cohort.facts import training_center
from ..errors import InputError

TRAINING, TEST = "training", "test"

PARTLY_ANNOTATED = frozenset(
    f"tumor_{number:03d}"
    for number in (10, 15, 18, 20, 25, 29, 33, 34, 44, 46, 51, 54, 55, 56, 67, 79, 85, 92, 95, 110)
)
"""Slides whose tumor is not marked exhaustively, by the organizers' README: what is unmarked there may be tumor."""

NOT_SCORED = frozenset(EXCLUSIONS["camelyon16"])
"""Test slides that a subset does not choose: the challenge leaves them out, or lesions of them."""

_NAME = re.compile(r"(normal|tumor|test)_(\d{3})")


class Member(NamedTuple):
    """A slide of the challenge.

    Attributes:
        name: of the slide, in lower case.
        path: of its file, relative to the data set's folder.
        part: `TRAINING` or `TEST`.
        is_tumor: whether it has a metastasis.
        stratum: what a subset shares out evenly in a kind: the centre of training slides; "" where nothing is known.
    """

    name: str
    path: str
    part: str
    is_tumor: bool
    stratum: str = ""

    @property
    def kind(self) -> str:
        """One of four: training or test, with tumor or normal."""
        return f"{self.part}, {'tumor' if self.is_tumor else 'normal'}"


def make_member(path: str, tumor_tests: Iterable[str]) -> Member | None:
    """A slide by its path, or None for one that the challenge has not.

    Args:
        path: relative to the data set's folder.
        tumor_tests: names of the test slides with a metastasis, in lower case.
    """
    name = Path(path).stem.lower()
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    if found[1] == "test":
        return Member(name, path, TEST, name in set(tumor_tests))
    return Member(name, path, TRAINING, found[1] == "tumor", training_center(name) or "")


def choose_subset(members: Sequence[Member], count: int, seed: int) -> list[Member]:
    """Some slides of each kind, shared evenly among its strata; a larger subset holds a smaller one.

    Args:
        members: all slides.
        count: slides of each kind; a kind that has fewer is taken whole.
        seed: of the choice.

    Returns:
        The chosen ones, in the order of ``members``.

    Raises:
        InputError: if ``count`` is not positive.
    """
    if type(count) is not int or count < 1:
        raise InputError(f"subset: expected a whole number of slides of each kind, found {count!r}; mend it")
    kinds: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        if member.name not in NOT_SCORED:
            kinds[member.kind].append(member)
    chosen = {member.name for kind in kinds.values() for member in _in_turn(kind, seed)[:count]}
    return [member for member in members if member.name in chosen]


def check_share(share: float) -> None:
    """Refuse a share of the training slides that `hold_out` cannot take.

    Raises:
        InputError: if it is no number between 0 and 1.
    """
    if not isinstance(share, float) or not 0 < share < 1:
        raise InputError(f"validation_share: expected a number between 0 and 1, found {share!r}; mend it")


def hold_out(members: Sequence[Member], share: float, seed: int) -> list[Member]:
    """Training slides to validate on, of each kind and centre.

    Args:
        members: the training slides.
        share: of each kind, at least one slide.
        seed: of the choice.

    Returns:
        The slides to validate on, in the order of ``members``.

    Raises:
        InputError: if the share is out of range, or a kind has no slide left to train on.
    """
    check_share(share)
    held: set[str] = set()
    for is_tumor in (True, False):
        kind = [member for member in members if member.is_tumor is is_tumor]
        count = max(1, math.floor(len(kind) * share))
        if len(kind) <= count:
            what = "with tumor" if is_tumor else "without"
            raise InputError(
                f"training: expected at least 2 usable slides {what}, one of them to validate on, found {len(kind)}; "
                "add slides, or give --weights shipped"
            )
        fully = [member for member in kind if member.name not in PARTLY_ANNOTATED]
        held |= {member.name for member in _in_turn(fully if len(fully) > 1 else kind, seed)[:count]}
    return [member for member in members if member.name in held]


def _in_turn(members: Sequence[Member], seed: int) -> list[Member]:
    """Slides in a random order in which the strata take turns."""
    strata: dict[str, list[Member]] = defaultdict(list)
    for member in sorted(members, key=lambda member: hashlib.sha256(f"{seed} {member.name}".encode()).digest()):
        strata[member.stratum].append(member)
    turns = [(turn, stratum, member) for stratum, found in strata.items() for turn, member in enumerate(found)]
    return [member for _, _, member in sorted(turns, key=lambda entry: entry[:2])]


def read_members(content: Any, source: Path) -> list[Member]:
    """Slides of a file that `members_content` wrote.

    Raises:
        InputError: if it is another.
    """
    try:
        return [Member(**{key: entry[key] for key in Member._fields}) for entry in content["slides"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{source}: expected the slides that verify found, found others; run --from verify") from error


def members_content(members: Sequence[Member], set_aside: dict[str, str]) -> dict[str, Any]:
    """Slides as values of JSON, and those that were set aside with the reason."""
    return {"slides": [member._asdict() for member in members], "set_aside": set_aside}
