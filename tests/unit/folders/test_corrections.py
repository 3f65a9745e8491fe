from __future__ import annotations

import logging
from pathlib import Path

import pytest

from scripts.errors import InputError
from scripts.folders.corrections import Correction, Corrections


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "corrections.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_corrections_are_found_by_name_or_file_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "slide,action,reason", "Tumor_001,Remove,out of focus", "x.1.tif,normal,", "b,tumor,seen")
    found = Corrections(path)
    assert [found.action(name) for name in ("tumor_001", "x.1", "b", "c")] == ["remove", "normal", "tumor", None]
    assert found.is_removed("TUMOR_001")
    assert not found.is_removed("c")
    assert found.applied(["c", "tumor_001"]) == [Correction("tumor_001", "remove", "out of focus", f"{path}, line 2")]
    assert found.report(["tumor_001"]) == [{"slide": "tumor_001", "action": "remove", "reason": "out of focus"}]
    with caplog.at_level(logging.WARNING):
        found.tell(["tumor_001", "b"])
        found.tell(["c"])
    first, second = caplog.messages
    assert first == f"{path}: 1 slide removed (tumor_001); 1 slide counted as tumor (b)"
    assert second == f"{path}: none of its slides is among those given"


def test_no_corrections(caplog: pytest.LogCaptureFixture) -> None:
    found = Corrections()
    found.tell(["a"])
    assert (found.get("a"), found.applied(["a"]), caplog.messages) == (None, [], [])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["slide,action", "a,drop"], "line 2: action: expected remove, normal, tumor, found 'drop'; mend it"),
        (["slide,action", "a,remove", "A.tif,normal"], "line 3: the slide 'A' is already in .*line 2"),
        (["slide", "a"], "line 1: expected the column action"),
        (["slide,label", "a,normal"], "line 1: unknown columns 'label'; expected some of slide, action, reason"),
        (["slide,action,reason", "a,remove,=cmd()"], "line 2: reason: .*formula"),
        (["slide,action"], "holds no slide"),
    ],
)
def test_corrections_refuse(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Corrections(write(tmp_path, *lines))
    assert "corrections.csv" in str(caught.value)
