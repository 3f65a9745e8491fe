"""Scores of whole slides that come as a table, from a classifier of slides say, in place of the maps' maxima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, few, some_of
from ..files import read_number, read_rows
from ..folders.names import name_key, slide_name
from ..folders.tables import find_columns
from .pairing import Named

_COLUMNS = ("slide", "score")


def read_slide_scores(path: str | Path, slides: Sequence[Named]) -> list[float]:
    """Read scores of slides.

    Args:
        path: a CSV file with the columns ``slide`` and ``score``, as ``nodes.csv`` of ``stage`` has, or rows of both
            without a header. Higher is more suspicious. Further slides are passed over.
        slides: the slides.

    Returns:
        The score of each of the slides.

    Raises:
        InputError: if the file cannot be read, a score is no number, a slide comes twice, or one has no score.
    """
    path = Path(path)
    rows = read_rows(path)
    places = find_columns(path, rows, _COLUMNS)
    scores: dict[str, float] = {}
    for number, row in rows[0 if places is None else 1 :]:
        name, text = ([*row, ""][min(place, len(row))].strip() for place in places or (0, 1))
        try:
            score = read_number(text)
        except ValueError:
            score = math.nan
        if not name or not math.isfinite(score):
            raise InputError(f"{path}, line {number}: expected slide,score, found {','.join(row)[:60]!r}; mend it")
        key = name_key(slide_name(name))
        if scores.setdefault(key, score) != score:
            raise InputError(f"{path}, line {number}: {name} has two scores; keep one")
    missing = [slide.name for slide in slides if name_key(slide.name) not in scores]
    if missing:
        raise InputError(
            f"{path}: {some_of(len(missing), len(slides), 'slide', 'has', 'have')} no score: {few(missing)}; add them"
        )
    return [scores[name_key(slide.name)] for slide in slides]
