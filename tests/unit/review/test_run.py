from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from helpers.review_cohort import write_cohort
from scripts.cli import main as cli
from scripts.errors import InputError
from scripts.review import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cohort(tmp_path / "all", {"a": 0.9})


def test_the_command_serves_what_it_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is served at the printed address, without a server."""
    seen: list[dict[str, Any]] = []

    def serve(listener: Any, app: Any, address: str, is_opened: bool) -> None:
        base, token = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/([\w-]{22,})/", address).groups()  # type: ignore[union-attr]
        client = TestClient(app, base_url=f"{base}/{token}")
        seen.append(client.get("/worklist").json())
        assert client.get("/slides/0").json()["marks"]
        assert not is_opened

    monkeypatch.setattr(run, "serve", serve)
    paths = [f"--maps={folder / 'maps'}", f"--slides={folder / 'slides'}", f"--output={folder / 'verdicts'}"]
    cli.main(["review", *paths, "--browser=false", "--reviewer=me"])
    assert [row["name"] for row in seen[0]["slides"]] == ["a"]
    assert (folder / "verdicts" / "a.geojson").is_file()
    cli.main(["review", *paths, "--browser=false"])
    assert len(seen) == 2, "the folder is free again"


def test_a_review_that_cannot_begin_frees_the_folder(folder: Path) -> None:
    with pytest.raises(InputError, match="no such") as caught:
        run.run_review(folder / "nothing", [folder / "slides"], folder / "verdicts")
    run.VerdictFolder(folder / "verdicts").close()
    assert caught.tb, "what failed is still there, and keeps nothing locked"


def test_without_the_extra_one_line_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scripts.review.run", None)
    with pytest.raises(SystemExit) as caught:
        cli.main(["review", "--maps=m", "--slides=s", "--output=o"])
    assert "pip install 'pathology-tumor-detection[review]'" in str(caught.value.code)
