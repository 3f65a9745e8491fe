"""CAMELYON16's annotations as NCRF converted them, kept in shared/data beside the checkout."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

_SHARED = Path(__file__).parents[3] / "shared" / "data"
_ARCHIVES = (_SHARED / "ncrf" / "jsons.tar.xz", _SHARED / "camelyon16_test" / "ground_truth_jsons.tar.xz")

needs_real = pytest.mark.skipif(
    not all(path.exists() for path in _ARCHIVES),
    reason="the real annotations are not in shared/data beside the checkout",
)


def extract_real_annotations(folder: Path, of_test_slides: bool = False) -> list[Path]:
    """The files of 268 training and 48 test slides, or of the test slides alone."""
    for archive in _ARCHIVES[1:] if of_test_slides else _ARCHIVES:
        with tarfile.open(archive) as tar:
            tar.extractall(folder / archive.stem, filter="data")
    return sorted(path for path in folder.rglob("*.json") if not path.parent.name.startswith("."))
