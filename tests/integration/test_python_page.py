"""What docs/python.md prints comes out when its blocks run one after the other, in one process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.doc_commands import ROOT, fences

pytestmark = pytest.mark.integration

PAGE = ROOT / "docs" / "python.md"
MONAI_LOG = re.compile(r"^\d{4}-\d\d-\d\d .* - (INFO|WARNING) - .*\n\n*", re.MULTILINE)
NUMBER = re.compile(r"\d+\.\d+")
TOLERANCE = 0.03
"""Processors round differently, and the network computes in bfloat16 on some."""


def examples() -> list[tuple[str, str]]:
    """Each block of Python, and what the block after it says that it prints."""
    blocks = [(language, content) for _, language, content in fences(PAGE.read_text(encoding="utf-8"))]
    assert [language for language, _ in blocks] == ["python", "text"] * (len(blocks) // 2)
    return [(code, printed) for (_, code), (_, printed) in zip(blocks[::2], blocks[1::2], strict=True)]


def test_every_example_prints_what_the_page_says(tmp_path: Path) -> None:
    found = examples()
    assert len(found) >= 4
    assert "sys.path" not in PAGE.read_text(encoding="utf-8")
    mark = "--- next example ---"
    script = tmp_path / "examples.py"
    script.write_text("\n".join(f"{code}\nprint({mark!r}, flush=True)\n" for code, _ in found), encoding="utf-8")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "pathology_tumor_detection").symlink_to(ROOT / "bundle")  # as an install has it
    dropped = ("PYTHONPATH", "CUFILE_LOGFILE_PATH", "CUFILE_ENV_PATH_JSON")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    environment |= {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    (tmp_path / "here").mkdir()
    process = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path / "here",
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    *printed, rest = process.stdout.split(f"{mark}\n")
    assert rest == ""
    for output, (code, expected) in zip(printed, found, strict=True):
        lines = MONAI_LOG.sub("", output).strip()
        assert NUMBER.sub("#", lines) == NUMBER.sub("#", expected), code
        numbers, wanted = ([float(number) for number in NUMBER.findall(text)] for text in (lines, expected))
        assert numbers == pytest.approx(wanted, abs=TOLERANCE), code
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"maps", "truth", "scores"}
