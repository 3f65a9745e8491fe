"""What tests of the challenge's stages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.challenge.cohort import make_member, members_content
from scripts.challenge.layout import COHORT, Layout
from scripts.files import write_json

NAMES = ("test_001", "test_002", "test_003")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three test slides, of which the first has tumor, and their truth."""
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"), "shipped")
    layout.root.mkdir()
    for name in NAMES:
        (layout.root / f"{name}.tif").touch()
    members = [make_member(f"{name}.tif", ["test_001"]) for name in NAMES]
    layout.truth.mkdir(parents=True)
    write_json(layout.folder("verify") / COHORT, members_content([member for member in members if member], {}))
    return layout
