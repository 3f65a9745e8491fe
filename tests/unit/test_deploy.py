"""The recipes in docs/deploy: what can be checked without a container engine and without Slurm."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
SLURM = DEPLOY / "infer.slurm"


def _instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_containerfile_copies_what_exists_and_installs_the_pins() -> None:
    found = _instructions()
    assert found[0][0] == "FROM"
    assert re.fullmatch(r"python:3\.1[0-3]-slim", found[0][1]), "a Python that pyproject.toml allows"
    for source in [word for name, rest in found if name == "COPY" for word in rest.split()[:-1]]:
        assert (ROOT / source).exists(), source
    (install,) = [rest for name, rest in found if name == "RUN"]
    assert "--constraint constraints.txt" in install
    assert [rest for name, rest in found if name == "USER"] == ["user"], "not as root"
    assert ("ENTRYPOINT", '["tumor-detection"]') in found
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert "never built" in text


@pytest.fixture
def array(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Seven slides with odd names, and a stand-in for the command that writes down its arguments."""
    slides = tmp_path / "my slides"
    (slides / "deeper").mkdir(parents=True)
    for name in ("a b.tif", "c.SVS", "d'.tiff", "deeper/e.ndpi", "f.tif", "g.tif", "h.tif"):
        (slides / name).touch()
    for name in ("a_mask.tif", "f_tissue.tif", ".hidden.tif", "notes.txt"):
        (slides / name).touch()
    command = tmp_path / "bin" / "tumor-detection"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/called-$SLURM_ARRAY_TASK_ID"\n')
    command.chmod(0o755)
    return slides, {"PATH": f"{command.parent}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_COUNT": "3"}


def _run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SLURM), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_slurm_tasks_share_the_slides(array: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    slides, environment = array
    taken: list[str] = []
    for task in ("1", "2", "3"):
        process = _run(
            *(slides, tmp_path / "maps", "--stride", 128),
            **{**environment, "SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_MIN": "1"},
        )
        assert process.returncode == 0, process.stderr
        words = (tmp_path / f"called-{task}").read_text().splitlines()
        assert words[:2] == ["infer", "--slides"]
        split = words.index("--output_dir")
        assert words[split:] == ["--output_dir", f"{tmp_path}/maps/{task}", "--stride", "128"]
        assert 2 <= split - 2 <= 3
        taken += words[2:split]
    assert sorted(Path(path).name for path in taken) == sorted(
        ["a b.tif", "c.SVS", "d'.tiff", "e.ndpi", "f.tif", "g.tif", "h.tif"]
    )


def test_slurm_task_without_a_slide_and_without_an_array(array: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    slides, environment = array
    process = _run(slides, tmp_path, **{**environment, "SLURM_ARRAY_TASK_ID": "30"})
    assert (process.returncode, process.stdout) == (0, "task 30 of 3: no slide is left for it\n")
    process = _run(slides, tmp_path, **{"PATH": environment["PATH"]})
    assert process.returncode != 0
    assert "submit it as an array" in process.stderr
    assert not list(tmp_path.glob("called-*"))


@pytest.mark.parametrize(
    "path", [SLURM, *sorted((ROOT / "bundle" / "scripts").glob("*.sh"))], ids=lambda path: path.name
)
def test_shell_scripts_are_well_formed(path: Path) -> None:
    process = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
