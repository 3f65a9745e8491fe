from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.review_cohort import write_cohort
from scripts.annotations.verdict_files import ChangedOutsideError
from scripts.errors import InputError
from scripts.review.judging import MAX_COMMENT
from scripts.review.run import start_session
from scripts.review.session import Session
from scripts.scoring.settings import ScoreSettings

SCORING = ScoreSettings(nms_radius_um=200)
SQUARE = [[[10, 20], [110, 20], [110, 220], [10, 220]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("review") / "all", {"a": 0.9, "b": 0.3})


def start(folder: Path, output: Path) -> Session:
    return start_session(folder / "maps", [folder / "slides"], output, None, SCORING, "me")


@pytest.fixture
def session(folder: Path, tmp_path: Path) -> Iterator[Session]:
    session = start(folder, tmp_path / "verdicts")
    yield session
    session.close()


def marks(state: dict[str, Any], source: str = "detection") -> list[dict[str, Any]]:
    return [mark for mark in state["marks"] if mark["source"] == source]


def test_each_verdict_is_kept_at_once(session: Session, folder: Path, tmp_path: Path) -> None:
    """A second server reads what the first, which does not end in order, has answered."""
    first, second = marks(session.describe(0))[:2]
    session.judging.change(0, {"action": "judge", "id": first["id"], "verdict": "tumor"})
    session.judging.change(0, {"action": "judge", "id": second["id"], "verdict": "not_tumor"})
    session.judging.change(0, {"action": "comment", "id": second["id"], "text": "a vessel"})
    added = session.judging.change(0, {"action": "add", "rings": SQUARE})["changed"]
    session.judging.folder.close()  # what the end of a process does
    again = start(folder, tmp_path / "verdicts")
    row = next(row for row in again.worklist() if row["name"] == "a")
    assert (row["num_reviewed"], row["is_reviewed"]) == (2, False)
    found = again.describe(0)
    assert [mark["verdict"] for mark in marks(found)][:3] == ["tumor", "not_tumor", None]
    assert marks(found)[1]["comment"] == "a vessel"
    assert marks(found)[0]["reviewer"] == "me"
    (drawn,) = marks(found, "drawn")
    assert [drawn["id"]] == added
    assert drawn["verdict"] == "tumor"
    assert drawn["rings"] == [[*SQUARE[0], SQUARE[0][0]]]
    assert drawn["can_move"]
    again.close()


def test_undo_takes_back_one_change_after_the_other(session: Session) -> None:
    first, second = marks(session.describe(0))[:2]
    change = session.judging.change
    change(0, {"action": "judge", "id": first["id"], "verdict": "tumor"})
    change(0, {"action": "judge", "id": second["id"], "verdict": "unsure"})
    state = change(0, {"action": "undo"})
    assert second["id"] in state["changed"]
    assert [mark["verdict"] for mark in marks(state)][:2] == ["tumor", None]
    assert [mark["verdict"] for mark in marks(change(0, {"action": "undo"}))][:2] == [None, None]
    assert change(0, {"action": "undo"})["changed"] == []


def test_outlines_are_moved_and_deleted(session: Session) -> None:
    session.describe(0)
    (drawn,) = session.judging.change(0, {"action": "add", "rings": SQUARE})["changed"]
    moved = [[[x + 5, y - 5] for x, y in ring] for ring in SQUARE]
    state = session.judging.change(0, {"action": "move", "id": drawn, "rings": moved})
    assert marks(state, "drawn")[0]["rings"][0][:-1] == moved[0]
    assert marks(session.judging.change(0, {"action": "delete", "id": drawn}), "drawn") == []


def test_a_page_that_is_up_to_date_gets_no_marks(session: Session) -> None:
    revision = session.describe(0)["revision"]
    assert session.judging.state(0, revision) == {"revision": revision, "said": ""}
    first = marks(session.judging.state(0))[0]
    newer = session.judging.change(0, {"action": "judge", "id": first["id"], "verdict": "tumor"})["revision"]
    assert newer > revision
    assert session.judging.state(0, revision)["marks"]


def _edit(path: Path, identity: str, label: str) -> None:
    """As QuPath does: another class, everything else as it is."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for feature in content["features"]:
        if feature["id"] == identity:
            feature["properties"]["classification"] = {"name": label, "color": [0, 0, 0]}
    path.write_text(json.dumps(content), encoding="utf-8")


def test_edits_of_another_program_are_seen_and_kept(session: Session, tmp_path: Path) -> None:
    found = session.describe(0)
    first, second = marks(found)[:2]
    path = tmp_path / "verdicts" / "a.geojson"
    _edit(path, first["id"], "Tumor")
    state = session.judging.state(0, found["revision"])
    assert "1 judged" in state["said"]
    assert marks(state)[0]["verdict"] == "tumor"
    _edit(path, second["id"], "Not tumor")
    with pytest.raises(ChangedOutsideError, match="another program"):
        session.judging.change(0, {"action": "judge", "id": second["id"], "verdict": "tumor"})
    assert [mark["verdict"] for mark in marks(session.judging.state(0))][:2] == ["tumor", "not_tumor"]
    state = session.judging.change(0, {"action": "judge", "id": second["id"], "verdict": "unsure"})
    assert marks(state)[1]["verdict"] == "unsure", "now that the reviewer has seen it"


@pytest.mark.parametrize(
    "change",
    [
        *(
            {},
            {"action": "format"},
            {"action": "judge"},
            {"action": "judge", "id": 3},
            {"action": "judge", "id": "other"},
        ),
        *({"action": "add"}, {"action": "add", "rings": 3}, {"action": "add", "rings": [[[0, 0], [1, 1]]]}),
        *(
            {"action": "add", "rings": [[["a", 0], [1, 1], [2, 0]]]},
            {"action": "add", "rings": [[[0, 1e300], [1, 1], [9, 0]]]},
        ),
        {"action": "delete", "id": "first"},
        {"action": "move", "id": "first", "rings": SQUARE},
        {"action": "comment", "id": "first", "text": "a" * (MAX_COMMENT + 1)},
        {"action": "comment", "id": "first", "text": ["a"]},
        {"action": "judge", "id": "first", "verdict": "benign"},
        {"action": "judge", "id": "first", "verdict": ["tumor"]},
    ],
)
def test_other_changes_are_refused_and_nothing_is_written(
    session: Session, tmp_path: Path, change: dict[str, Any]
) -> None:
    first = marks(session.describe(0))[0]
    log = (tmp_path / "verdicts" / "a.jsonl").read_bytes()
    if change.get("id") == "first":
        change = change | {"id": first["id"]}
    with pytest.raises(InputError):
        session.judging.change(0, change)
    assert (tmp_path / "verdicts" / "a.jsonl").read_bytes() == log


def test_a_slide_that_was_not_opened_is_not_changed(session: Session) -> None:
    for ask in (lambda: session.judging.state(1), lambda: session.judging.change(1, {"action": "undo"})):
        with pytest.raises(InputError, match="not opened"):
            ask()


def test_two_servers_on_one_folder_are_refused(session: Session, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another"):
        start(folder, tmp_path / "verdicts")
