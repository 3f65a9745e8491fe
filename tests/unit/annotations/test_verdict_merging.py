"""What another program changed in a file of marks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.verdict_marks import RING_XY, found_marks
from scripts.annotations.verdict_merging import ELSEWHERE, merged, summary

KNOWN = {mark.id: mark for mark in found_marks()}
NOW, EARLIER = "2026-11-28T10:00:00.000+00:00", "2026-11-28T09:00:00.000+00:00"


@pytest.mark.parametrize(
    ("changes", "when", "reviewer"),
    [
        ({}, NOW, ELSEWHERE),
        ({"when": EARLIER, "reviewer": "Q"}, EARLIER, "Q"),
    ],
    ids=["QuPath itself", "the script for QuPath, which signs"],
)
def test_a_verdict_is_signed(changes, when, reviewer):
    found = replace(
        KNOWN["d1"].judged("unsure", None, None), probability=None, weights_sha256=None, lesion=None, **changes
    )
    (state,) = merged(KNOWN, [found, *list(KNOWN.values())[1:]], NOW).values()
    assert state == KNOWN["d1"].judged("unsure", when, reviewer)


def test_a_verdict_that_is_taken_back_has_no_time():
    known = {"d1": KNOWN["d1"].judged("tumor", EARLIER, "A")}
    (state,) = merged(known, [KNOWN["d1"]], NOW).values()
    assert state == KNOWN["d1"]


@pytest.mark.parametrize("verdict", ["tumor", None])
def test_a_new_outline_is_signed_if_it_has_a_verdict(verdict):
    new = replace(KNOWN["l1"].judged(verdict, None, None), id="new", source="drawn")
    (state,) = merged(KNOWN, [*KNOWN.values(), new], NOW).values()
    assert (state.when, state.reviewer) == ((NOW, ELSEWHERE) if verdict else (None, None))


def test_nothing_changed():
    assert merged(KNOWN, list(KNOWN.values()), NOW) == {}
    turned = {"type": "Polygon", "coordinates": [RING_XY[::-1]]}
    assert merged(KNOWN, [*list(KNOWN.values())[:3], replace(KNOWN["l1"], geometry=turned)], NOW) == {}


def test_summary_counts():
    moved = replace(KNOWN["d2"].judged("tumor", NOW, "A"), geometry={"type": "Point", "coordinates": [1, 2]})
    changes = {
        "d1": None,
        "d2": moved,
        "new": replace(KNOWN["l1"], id="new"),
        "d3": replace(KNOWN["d3"], others={"a": 1}),
    }
    assert summary(KNOWN, changes) == "1 new, 1 removed, 1 moved, 1 judged"
    assert summary(KNOWN, {"d3": changes["d3"]}) == "nothing that counts"
