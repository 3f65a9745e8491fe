from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from scripts.slides import fallbacks
from scripts.slides.fallbacks import group_fallbacks, note_fallback, tell_fallbacks
from scripts.slides.slide import open_slide


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallbacks, "_noted", {})


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_slides_are_counted_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    for reason, path in (("one", "s/a.tif"), ("two", Path("s/b.tif")), ("one", "s/c.tif"), ("one", "s/a.tif")):
        note_fallback(reason, path)
    tell_fallbacks()
    assert lines(caplog) == [
        "2 slides were read by OpenSlide, several times slower than by cuCIM: one: a.tif, c.tif",
        "1 slide was read by OpenSlide, several times slower than by cuCIM: two: b.tif",
    ]
    tell_fallbacks()
    assert lines(caplog) == []


def test_what_is_told_of_a_run_is_not_told_again(caplog: pytest.LogCaptureFixture) -> None:
    note_fallback("one", "a.tif")
    tell_fallbacks({"one": ["a.tif", "b.tif"]})
    tell_fallbacks()
    assert lines(caplog) == ["2 slides were read by OpenSlide, several times slower than by cuCIM: one: a.tif, b.tif"]


def test_groups() -> None:
    found = [("a", "one"), ("b", None), ("c", "two"), ("d", "one")]
    assert group_fallbacks(found) == {"one": ["a", "d"], "two": ["c"]}


@pytest.mark.cucim
def test_a_slide_that_is_opened_often_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = np.full((200, 300, 3), 240, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", compression="packbits", tile=(64, 64))
    for _ in range(3):
        open_slide(tmp_path / "a.tif").close()
    open_slide(tmp_path / "a.tif", "openslide").close()
    tell_fallbacks()
    (line,) = lines(caplog)
    assert line.startswith("1 slide was read by OpenSlide")
    assert line.endswith("compression 32773 is none that cuCIM is known to decode right: a.tif")
