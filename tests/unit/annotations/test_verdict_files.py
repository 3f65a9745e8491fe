"""The verdicts of a slide on the disk: kept at once, rebuilt after a kill, and never written over another program's."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from helpers.verdict_marks import RING_XY, as_qupath_writes, found_marks
from scripts.annotations.verdict_files import ChangedOutsideError, VerdictFile
from scripts.annotations.verdicts import read_verdicts, to_feature
from scripts.errors import InputError

SQUARE = {"type": "Polygon", "coordinates": [[[500, 10], [600, 10], [600, 90.5], [500, 90]]]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.geojson"


@pytest.fixture
def file(path: Path) -> VerdictFile:
    opened = VerdictFile(path, "A", (1000, 30))
    opened.begin(found_marks())
    return opened


def _edit(path: Path, change) -> None:
    """Change a file as QuPath would."""
    content = as_qupath_writes(json.loads(path.read_text(encoding="utf-8")))
    change(content["features"])
    path.write_text(json.dumps(content), encoding="utf-8")


def _names(path: Path) -> dict[str, str | None]:
    return {mark.name: mark.verdict for mark in read_verdicts(path)}


def _states(file: VerdictFile) -> list[dict]:
    return [to_feature(mark) for mark in file.marks]


def _work(file: VerdictFile) -> None:
    file.judge("d1", "tumor", "clear")
    file.judge("d3", "not_tumor")
    drawn = file.add(SQUARE, comment="missed")
    file.move(drawn.id, {"type": "Polygon", "coordinates": [[[500, 10], [650, 10], [600, 95]]]})
    file.comment("d2", "look again")
    file.delete("l1")
    file.undo()


def test_each_verdict_is_on_the_disk_at_once(file, path):
    judged = file.judge("d1", "tumor", "clear")
    assert (judged.verdict, judged.comment, judged.reviewer) == ("tumor", "clear", "A")
    assert judged.when is not None
    assert judged.when.endswith("+00:00")
    assert read_verdicts(path, (1000, 30)) == file.marks
    assert _names(path) == {"Detection 1": "tumor", "Detection 2": None, "Detection 3": None, "Lesion 1": "tumor"}
    assert file.counts() == (3, 1, 1, 0, 0)
    assert [name.name for name in path.parent.iterdir() if "tmp" in name.name] == []


def test_the_file_is_rebuilt_from_its_log(file, path):
    _work(file)
    states = _states(file)
    for _ in range(2):  # once as it is, once without the file
        again = VerdictFile(path, "B", (1000, 30))
        assert _states(again) == states
        path.unlink()
    assert _states(VerdictFile(path, "B", (1000, 30))) == states
    assert read_verdicts(path, (1000, 30)) == file.marks


def test_a_kill_at_any_byte_of_the_log_loses_nothing_that_was_answered(file, path, caplog):
    """The log is written first: it ends within a line, or at the end of a line that the file does not have yet."""
    log = path.with_suffix(".jsonl")
    states, sizes, contents = [_states(file)], [log.stat().st_size], [path.read_bytes()]
    for identity, verdict in (("d1", "tumor"), ("d3", "unsure"), ("d1", None), ("d2", "not_tumor")):
        file.judge(identity, verdict)
        states.append(_states(file))
        sizes.append(log.stat().st_size)
        contents.append(path.read_bytes())
    whole = log.read_bytes()
    for number in range(1, len(sizes)):
        for size in (sizes[number - 1] + 1, (sizes[number - 1] + sizes[number]) // 2, sizes[number]):
            log.write_bytes(whole[:size])
            path.write_bytes(contents[number - 1])
            caplog.clear()
            again = VerdictFile(path, "A", (1000, 30))
            expected = states[number] if size == sizes[number] else states[number - 1]
            assert _states(again) == expected, (number, size)
            assert read_verdicts(path, (1000, 30)) == again.marks
            assert [record.message.split(": ")[1] for record in caplog.records] == (
                [] if size == sizes[number] else ["its last line was cut off when the server ended; it is left out"]
            )
            again.judge("d3", "tumor")
            assert _states(VerdictFile(path, "A", (1000, 30))) == _states(again)


def test_undo_takes_back_one_by_one_also_after_a_restart(file, path):
    states = [_states(file)]
    steps = [
        lambda: file.judge("d1", "tumor"),
        lambda: file.judge("d2", "not_tumor", "fold"),
        lambda: file.comment("d2", "really"),
        lambda: file.delete("l1"),
        lambda: file.add(SQUARE),
    ]
    for step in steps:
        step()
        states.append(_states(file))
    assert file.undo()
    assert sorted(map(str, _states(file))) == sorted(map(str, states[-2]))
    again = VerdictFile(path, "A", (1000, 30))
    for state in states[-3::-1]:
        assert again.undo()
        assert sorted(map(str, _states(again))) == sorted(map(str, state))
    assert again.undo() == []
    again.judge("d3", "tumor")
    assert again.undo() == ["d3"]
    assert sorted(map(str, _states(again))) == sorted(map(str, states[0]))


def test_an_edit_in_qupath_is_merged_and_told(file, path, caplog):
    file.judge("d1", "tumor", "clear")

    def change(features):
        by_name = {item["properties"]["name"]: item for item in features}
        by_name["Detection 3"]["properties"]["classification"] = {"name": "Not tumor", "color": [1, 2, 3]}
        by_name["Lesion 1"]["geometry"]["coordinates"][0][1] = [412.5, -980.0]
        features.remove(by_name["Detection 2"])
        features.append({"type": "Feature", "id": "new", "geometry": SQUARE, "properties": {"classification": "Tumor"}})

    _edit(path, change)
    file.comment("d1", "still clear")
    assert [record.message for record in caplog.records] == [
        f"{path}: another program changed it: 1 new, 1 removed, 1 moved, 1 judged; its changes are kept"
    ]
    by_id = {mark.id: mark for mark in file.marks}
    assert set(by_id) == {"d1", "d3", "l1", "new"}
    assert (by_id["d1"].verdict, by_id["d1"].comment, by_id["d1"].reviewer) == ("tumor", "still clear", "A")
    assert (by_id["d3"].verdict, by_id["d3"].reviewer) == ("not_tumor", "another program")
    assert by_id["d3"].probability == 0.7, "QuPath does not keep it"
    assert by_id["l1"].geometry["coordinates"][0][1] == [442.5, 20]
    assert by_id["l1"].source == "outline"
    assert (by_id["new"].verdict, by_id["new"].source) == ("tumor", "drawn")
    assert by_id["new"].geometry["coordinates"][0][0] == [530, 1010]
    assert read_verdicts(path, (1000, 30)) == file.marks
    assert _states(VerdictFile(path, "B", (1000, 30))) == _states(file)
    assert len(caplog.records) == 1


def test_a_mark_that_qupath_changed_is_not_judged_unseen(file, path):
    _edit(path, lambda features: features[0]["properties"].update(classification={"name": "Unsure"}))
    with pytest.raises(
        ChangedOutsideError, match=r"another program changed Detection 1, too \(1 judged\); look at it again"
    ):
        file.judge("d1", "tumor")
    assert _names(path)["Detection 1"] == "unsure"
    assert file.undo() == [], "nobody here did it"
    file.judge("d1", "tumor")
    assert _names(path)["Detection 1"] == "tumor"


def test_an_edit_between_two_sessions_is_seen(file, path, caplog):
    file.judge("d1", "tumor")
    _edit(path, lambda features: features.pop())
    again = VerdictFile(path, "A", (1000, 30))
    assert [mark.id for mark in again.marks] == ["d1", "d2", "d3"]
    assert "1 removed" in caplog.text
    assert again.refresh() == ""


def test_a_file_that_qupath_only_saved_again_is_no_edit_of_places(file, path):
    """QuPath writes whole numbers with a point, and may begin a ring elsewhere."""

    def change(features):
        ring = features[-1]["geometry"]["coordinates"][0]
        features[-1]["geometry"]["coordinates"][0] = [*ring[2:-1], *ring[:3]]

    _edit(path, change)
    assert file.refresh() == "nothing that counts"
    assert file.get("l1").geometry["coordinates"] == [RING_XY]
    assert file.get("l1").others == {"isLocked": False}


def test_a_file_that_cannot_be_read_is_not_overwritten(file, path):
    path.write_text('{"type": "FeatureCollection", "fea', encoding="utf-8")
    with pytest.raises(InputError, match=r"not a readable JSON .*remove it: it is then written anew from a\.jsonl"):
        file.judge("d1", "tumor")
    assert path.read_text(encoding="utf-8").endswith('"fea')
    assert file.get("d1").verdict is None
    path.unlink()
    file.judge("d1", "tumor")
    assert _states(VerdictFile(path, "A", (1000, 30))) == _states(file)
    assert file.get("d1").verdict == "tumor"


def test_half_a_character_is_refused_and_nothing_is_written(file, path):
    content, log = path.read_bytes(), path.with_suffix(".jsonl").read_bytes()
    with pytest.raises(InputError, match="found half a character"):
        file.comment("d1", "\ud800")
    assert (path.read_bytes(), path.with_suffix(".jsonl").read_bytes()) == (content, log)
    assert file.get("d1").comment == ""


def test_an_export_that_lies_in_the_folder_is_taken_in(path):
    exported = {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "e1",
                "geometry": {"type": "Point", "coordinates": [7, 8]},
                "properties": {
                    "objectType": "detection",
                    "classification": {"name": "Detection"},
                    "name": "Detection 1",
                },
            }
        ],
    }
    path.write_text(json.dumps(exported))
    file = VerdictFile(path, "A")
    assert [(mark.id, mark.verdict, mark.is_detection) for mark in file.marks] == [("e1", None, True)]


def test_begin_keeps_what_was_judged_and_drops_the_rest_of_an_earlier_map(file):
    file.judge("d3", "not_tumor")
    file.comment("d2", "odd")
    drawn = file.add(SQUARE)
    (new, *_) = found_marks()
    file.begin([new.__class__(**{**new.__dict__, "id": "d9"})])
    assert [mark.id for mark in file.marks] == ["d2", "d3", drawn.id, "d9"]
    assert file.counts() == (3, 1, 0, 1, 0)


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}, "expected a point, line or polygon"),
        ({"type": "Point", "coordinates": [1, 2]}, "expected a Polygon, found 'Point'"),
        ({}, "expected a point, line or polygon"),
    ],
)
def test_what_encloses_nothing_is_not_drawn(file, geometry, said):
    states = _states(file)
    for change in (lambda: file.add(geometry), lambda: file.move("l1", geometry)):
        with pytest.raises(InputError, match=said):
            change()
    assert _states(file) == states


def test_detections_stay_and_unknown_ids_are_told(file):
    with pytest.raises(InputError, match="Detection 1: a detection cannot be deleted; judge it to be no tumor"):
        file.delete("d1")
    with pytest.raises(InputError, match="Detection 1: a detection stays where the map has it"):
        file.move("d1", SQUARE)
    with pytest.raises(InputError, match="no object 'x' is there; load the slide again"):
        file.judge("x", "tumor")
    with pytest.raises(InputError, match="verdict: expected tumor, not_tumor, unsure or none, found 'yes'"):
        file.judge("d1", "yes")


def test_a_log_that_cannot_be_written_changes_nothing(file, path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    states, content = _states(file), path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"a\.jsonl: cannot be written \(No space left on device\)"):
            file.judge("d1", "tumor", "a long comment " * 300)
    assert _states(file) == states
    assert path.read_bytes() == content
    file.judge("d2", "unsure")
    assert _states(VerdictFile(path, "A", (1000, 30))) == _states(file)
    assert file.get("d1").verdict is None


@pytest.mark.parametrize(
    "line",
    ["{}", "[1]", "nonsense", '{"action": "undo", "set": [], "removed": []}', "[" * 100_000],
    ids=["empty", "list", "word", "undo of nothing", "deep"],
)
def test_a_damaged_line_is_refused(path, line):
    path.with_suffix(".jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=r"a\.jsonl, line 1: no line of verdicts"):
        VerdictFile(path)


def test_many_threads_may_judge(file, path):
    threads = [threading.Thread(target=file.add, args=(SQUARE,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_verdicts(path)) == 12
    assert len(path.with_suffix(".jsonl").read_text().splitlines()) == 9
