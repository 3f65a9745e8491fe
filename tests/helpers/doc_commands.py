"""The blocks of commands that the documentation prints, and a way to run them as a reader would."""

from __future__ import annotations

import glob
import logging
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from helpers.forked_commands import Started

ROOT = Path(__file__).parents[2]
GENERATED = {"_build", "generated"}  # what make docs leaves in docs

PROGRAMS = {
    *("aws", "bash", "cat", "cp", "curl", "cut", "docker", "git", "ln", "make", "mkdir", "mlflow", "pip", "pip-audit"),
    *("podman", "python", "python3.10", "ray", "sbatch", "torchrun", "tumor-detection"),
    *(".venv/bin/python", ".venv-zoo/bin/python"),
}
"""A block whose first line begins with one of these is a block of commands; others show what a command prints."""


class Command(NamedTuple):
    """A command of a block, on one line and without its remark."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def pages() -> list[Path]:
    """All Markdown pages of the repository."""
    docs = (path for path in (ROOT / "docs").rglob("*.md") if not GENERATED.intersection(path.parts))
    samples = [ROOT / "bundle" / "sample" / "README.md"]
    return [*sorted(ROOT.glob("*.md")), *sorted(docs), *samples]


def fences(text: str) -> Iterator[tuple[int, str, str]]:
    """Blocks between fences, also those inside lists: the number of the first line, the language, the content."""
    for match in re.finditer(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        lines = [line.removeprefix(match[1]) for line in match[3].splitlines()]
        yield text[: match.start(3)].count("\n") + 1, match[2], "\n".join(lines)


def commands(page: Path) -> list[Command]:
    """The commands of all blocks of a page, in order."""
    found = []
    name = page.relative_to(ROOT).as_posix()
    for first, language, content in fences(page.read_text(encoding="utf-8")):
        if language in ("bash", "sh") or (not language and content.split(maxsplit=1)[:1] and is_command(content)):
            number, parts = first, []
            for offset, line in enumerate(content.splitlines()):
                parts.append(line.removesuffix("\\").strip())
                if not line.endswith("\\"):
                    joined = re.sub(r"\s+#\s.*", "", " ".join(parts)).strip()
                    if joined and not joined.startswith("#"):
                        found.append(Command(name, number, joined))
                    number, parts = first + offset + 1, []
    return found


def is_command(line: str) -> bool:
    """Whether the first word is a program's name."""
    return line.split(maxsplit=1)[0] in PROGRAMS


def with_flags(words: list[str], flags: Mapping[str, str]) -> list[str]:
    """A command with these flags, each in place of the values that it has or else at the end."""
    found = list(words)
    for name, value in flags.items():
        flag = f"--{name}"
        joined = [index for index, word in enumerate(found) if word.startswith(f"{flag}=")]
        if joined:
            found[joined[0]] = f"{flag}={value}"
        elif flag in found:
            first = found.index(flag)
            last = next((n for n in range(first + 1, len(found)) if found[n].startswith("--")), len(found))
            found[first:last] = [flag, value]
        else:
            found += [flag, value]
    return found


def run(words: list[str], folder: Path, tumor_detection: Callable[..., object]) -> None:
    """Run a command in a folder: ``tumor-detection``, MONAI's and Python's in this process, others in their own.

    Args:
        words: the command, also with a redirection (``>`` and a file).
        folder: the working directory.
        tumor_detection: runs the command line with these arguments and fails with its message.
    """
    os.chdir(folder)
    if words[0] == "tumor-detection":
        tumor_detection(*_expanded(words[1:], folder))
    elif words[:3] == ["python", "-m", "monai.bundle"]:
        with _arguments(["monai.bundle", *words[3:]]):
            runpy.run_module("monai.bundle", run_name="__main__")
    elif words[0] == "python" and words[1].endswith(".py"):
        script = folder / words[1]
        with _arguments([words[1], *_expanded(words[2:], folder)]), _importing_from(script.resolve().parent):
            runpy.run_path(str(script), run_name="__main__")
        logging.disable(logging.NOTSET)  # a script may keep the process, which it takes for its own, quiet
    elif words[0] == "torchrun" and "infer" not in words:  # that one is started as a user starts it
        with Started(words, folder, said=folder / ".said") as process:
            assert process.wait() == 0, f"{words}\n{process.said[-4000:]}"
    else:
        _run_in_shell(" ".join(word if word == ">" or "*" in word else shlex.quote(word) for word in words), folder)


@contextmanager
def _arguments(words: list[str]) -> Iterator[None]:
    """What a program finds in ``sys.argv``."""
    before = sys.argv
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """A script imports from its own folder first, and may add others."""
    before = sys.path[:]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


def _expanded(words: list[str], folder: Path) -> list[str]:
    """What a shell makes of ``*``."""
    found: list[str] = []
    for word in words:
        found += sorted(glob.glob(word, root_dir=folder)) or [word] if "*" in word else [word]
    return found


def _run_in_shell(text: str, folder: Path) -> None:
    paths = [str(folder / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    environment = os.environ | {"PATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def files_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Which file lies at each path below a folder, and when it was written; links to folders are not followed.

    A file that is written again counts as another one, even where it has the same content in a small run.
    """
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink() and not name.startswith("."):
                found[path] = path.stat().st_ino, path.stat().st_mtime_ns
    return found
