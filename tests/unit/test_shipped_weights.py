"""The script that trains the shipped weights: its order, what each training starts from, and where the result lies.

The trainings are stood in for by copies of weights: some of their own, else those that they start from.
tests/unit/test_docs.py parses their flags. `describe_weights.py`, which needs pictures, is only noted.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "shipped_weights.sh"

STAND_IN = f"""#!{sys.executable}
import shutil, sys
from pathlib import Path
words = sys.argv[1:]
def value(flag):
    return words[words.index(flag) + 1] if flag in words else None
output = Path(value("--output_dir"))
with open("log.txt", "a") as log:
    print(output, value("--weights"), value("--teacher"), value("--cache"), file=log)
if output.name == Path("stop.txt").read_text():
    sys.exit(3)
output.mkdir(parents=True, exist_ok=True)
own = Path(f"{{output.name}}.pt")
shutil.copy(own if own.exists() else value("--weights"), output / "model.pt")
(output / "model.json").write_text("{{}}")
"""

PYTHON = """#!/usr/bin/env bash
if [[ $1 == */describe_weights.py ]]; then echo "looks $2" >>log.txt
else printf '%s\\n' "$@" >asked; read -r <answered; fi
"""
"""Asks the process of the test, which has imported PyTorch, to run other scripts, and waits for its answer."""

TRAININGS = [
    "runs/10x None None cuda",
    "runs/screen runs/10x/model.pt None cuda",
    "runs/agreeing_10x runs/mean_10x.pt ['runs/10x/model.pt','runs/screen/model.pt'] cuda",
    "looks runs/model_10x.pt",
    "runs/base None None cuda",
    "runs/tuned runs/base/model.pt None cuda",
    "runs/agreeing runs/patches.pt runs/patches.pt cuda",
    "runs/last runs/agreeing/model.pt runs/patches.pt cuda",
    "runs/tissue runs/last/model.pt None cuda",
    "looks runs/model.pt",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    for name, text in (("tumor-detection", STAND_IN), ("python", PYTHON)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "stop.txt").write_text("")
    for name in ("asked", "answered"):
        os.mkfifo(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for name, number in (("10x", 8.0), ("screen", 2.0), ("base", 2.0), ("tuned", 4.0), ("tissue", 5.0)):
        torch.save({"fc.weight": torch.full((1, 2), number)}, tmp_path / f"{name}.pt")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path}
    command = ["bash", str(SCRIPT), *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ask_nothing_more() -> None:
        process.wait()
        Path("asked").write_text("")

    threading.Thread(target=ask_nothing_more, daemon=True).start()
    try:
        while words := Path("asked").read_text().splitlines():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", words)
                patch.setattr(sys, "path", sys.path[:])
                runpy.run_path(words[0], run_name="__main__")
            Path("answered").write_text("\n")
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(command, process.returncode, *process.communicate())


def test_each_training_starts_from_the_one_before(folder: Path) -> None:
    done = run(folder, "--cache", "cuda")
    assert done.returncode == 0, done.stderr
    assert (folder / "log.txt").read_text().splitlines() == TRAININGS
    assert torch.load(folder / "runs" / "model_10x.pt")["fc.weight"].tolist() == [[4.0, 4.0]]
    assert torch.load(folder / "runs" / "model.pt")["fc.weight"].tolist() == [[4.0, 4.0]]


def test_it_stops_at_a_training_that_fails_and_goes_on_when_given_again(folder: Path) -> None:
    (folder / "stop.txt").write_text("tuned")
    assert run(folder, "--cache", "cuda").returncode == 3
    assert not (folder / "runs" / "model.pt").exists()
    (folder / "stop.txt").write_text("")
    assert run(folder, "--cache", "cuda").returncode == 0
    assert (folder / "log.txt").read_text().splitlines() == [*TRAININGS[:6], *TRAININGS]


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_it_says_how_it_is_used(folder: Path, flag: str) -> None:
    found = run(folder, flag)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("Trains both shipped files")
    assert "set -euo" not in found.stdout
    assert not (folder / "log.txt").exists()
