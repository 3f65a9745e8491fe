"""The log of verdicts: lines that are never changed again."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.verdict_marks import found_marks
from scripts.annotations.verdict_log import OUTSIDE, UNDO, VerdictLog
from scripts.annotations.verdicts import VERDICTS

FOUND = {mark.id: mark for mark in found_marks()}


def test_each_line_tells_what_was_done(tmp_path):
    log = VerdictLog(tmp_path / "a.jsonl")
    log.append("begin", FOUND, "2026", None)
    log.append("judge", {"d1": FOUND["d1"].judged("tumor", "2027", "Ä")}, "2027", "Ä")
    log.append("delete", {"l1": None}, "2028", "Ä")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["action"], line["when"], line["reviewer"], line["removed"]) for line in lines] == [
        ("begin", "2026", None, []),
        ("judge", "2027", "Ä", []),
        ("delete", "2028", "Ä", ["l1"]),
    ]
    assert [feature["id"] for feature in lines[0]["set"]] == ["d1", "d2", "d3", "l1"]
    assert lines[1]["set"][0]["properties"]["verdict"] == "tumor"


steps = st.lists(
    st.tuples(
        st.sampled_from(["judge", "judge", "delete", OUTSIDE, UNDO]),
        st.sampled_from(list(FOUND)),
        st.sampled_from([*VERDICTS, None]),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps=steps, cut=st.integers(0, 12))
def test_a_log_that_is_read_again_goes_on_as_it_would_have(tmp_path_factory, steps, cut):
    """Read after any step, it has the same marks, and takes back the same, as one that stayed open."""
    path = tmp_path_factory.mktemp("log") / "a.jsonl"
    log = VerdictLog(path)
    log.append("begin", FOUND, "2026", None)
    for number, (action, identity, verdict) in enumerate(steps):
        if number == cut:
            log = VerdictLog(path)
        changes = {identity: None if action == "delete" else FOUND[identity].judged(verdict, "2026", "A")}
        if action == UNDO:
            changes = log.last_change()
            if changes is None:
                continue
        before = dict(log.marks)
        log.append(action, changes, "2026", "A")
        again = VerdictLog(path)
        assert again.marks == log.marks
        assert again.last_change() == log.last_change()
        assert {**again.marks, **again.before_last}.items() >= {
            key: mark for key, mark in before.items() if key in changes
        }.items()
