from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.errors import InputError
from scripts.synthetic import demo, specimen
from scripts.synthetic.demo import run_demo


class _ReachedError(Exception):
    """The drawn cohort would be made now."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is called for the strip; the demo ends where the drawn cohort begins."""
    found: list[Any] = []

    def recorded(name: str, result: Any) -> Any:
        return lambda *arguments: found.append((name, *arguments)) or result

    def stop(*arguments: Any, **options: Any) -> None:
        raise _ReachedError

    monkeypatch.setattr(demo, "write_cohort", stop)
    monkeypatch.setattr(specimen, "find_metastasis", recorded("find", "a finding"))
    monkeypatch.setattr(specimen, "summary", lambda finding: f"{finding}, in words")
    monkeypatch.setattr(specimen, "write_views", recorded("views", (Path("a.png"), Path("a.html"))))
    return found


def test_demo_begins_with_real_tissue(calls: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(_ReachedError):
        run_demo(tmp_path / "demo")
    output, slide = tmp_path / "demo" / "real_tissue", specimen.strip_path()
    assert calls == [("find", slide, output / "maps"), ("views", slide, "a finding", output)]
    text = capsys.readouterr().out
    order = ["== real tissue", "a finding, in words", "a.png", "This tissue is real", "== synthetic cohort"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_demo_without_the_strip_says_so_and_goes_on(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(specimen, "strip_path", lambda: tmp_path / "sample" / "strip.tif")
    with pytest.raises(_ReachedError):
        run_demo(tmp_path / "demo")
    assert calls == []
    text = capsys.readouterr().out
    assert f"{tmp_path / 'sample' / 'strip.tif'}: no such file" in text
    assert "the demo goes on with drawn slides\n" in text


def test_demo_refuses_a_negative_seed(calls: list[Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--seed must not be negative, but got -1"):
        run_demo(tmp_path / "demo", -1)
    assert calls == []
    assert not (tmp_path / "demo").exists()
