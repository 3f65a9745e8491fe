"""Every command that README and the pages of docs print runs, in order, on small synthetic data with small settings.

A page starts from the folders that it names; the scene makes them. ``SMALL`` replaces settings. ``SKIPPED`` lists the
commands that cannot run here, each with its reason. No command may change what another one on its page has written.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from helpers.doc_commands import ROOT, Command, commands, fences, files_of, pages, run, with_flags
from helpers.forked_commands import Started
from integration.conftest import Outcome
from scripts.labels.loclabel import read_loclabels
from scripts.masks.groundtruth import write_groundtruth
from scripts.slides.slide import open_slide

pytestmark = pytest.mark.integration

TumorDetection = Callable[..., Outcome]


# --- what is skipped, and what is made small ------------------------------------------------------------------------


class Rule(NamedTuple):
    """Which commands of which pages, and why."""

    page: str
    pattern: str
    reason: str

    def fits(self, command: Command) -> bool:
        """Whether the rule is about this command."""
        return re.search(self.page, command.page) is not None and re.search(self.pattern, command.text) is not None


SKIPPED = [
    Rule(r"^README\.md$", r"^make test", "runs these tests"),
    Rule(r"^docs/data\.md$", r"^(aws|git clone|tumor-detection download) ", "downloads from the public bucket or site"),
    Rule(r"^docs/", r"tumor-detection camelyon16 ", "reads the challenge's slides; test_camelyon16.py has a replica"),
    Rule(r"^docs/", r"trt_export|inference_trt\.json", "needs a GPU and TensorRT"),
    Rule(r"^docs/", r"tumor-detection review .*--output", "serves until it is stopped; test_run.py serves it"),
    Rule(r"^docs/scaling\.md$", r"^ray start", "starts a cluster of several machines"),
    Rule(r"^docs/scaling\.md$", r"--ray ", "needs a cluster; test_infer_cluster.py runs one on this machine"),
    Rule(r"^docs/(configs|README)\.md$", r"^torchrun ", "docs/scaling.md prints and runs the same command"),
    Rule(r"^docs/", r"inference_onnx\.json", "test_export.py makes the file and runs the same command"),
    Rule(r"^docs/export\.md$", r"(onnx|ckpt)_export", "test_export.py reads the command from the page and runs it"),
    Rule(r"^docs/README\.md$", r"ckpt_export", "docs/export.md prints the same command"),
    Rule(r"^docs/configs\.md$", r"mlflow\.json", "docs/export.md prints and runs the same command"),
    Rule(r"^docs/(README|experiments)\.md$", r"shipped_weights\.sh", "trainings of hours"),
    Rule(r"^docs/README\.md$", r"contiguous_patches\.py", "needs real tissue; test_contiguous_patches.py cuts it"),
    Rule(r"^docs/publishing\.md$", r"round_trip\.py|^python3\.10 |pip install", "installs 7 GB for another Python"),
    Rule(r"^docs/publishing\.md$", r"push_to_hf_hub|huggingface_hub", "needs an account and the network"),
    Rule(
        r"^docs/correcting\.md$",
        r"^tumor-detection review --maps",
        "serves until Ctrl-C; tests/unit/review has its tests",
    ),
    Rule(r"^docs/correcting\.md$", r"review --compare", "needs verdicts of two people; test_agreement.py has some"),
    Rule(r"^docs/security\.md$", r"^pip-audit ", "asks a service on the network"),
]

PARSED = [
    Rule(r"^docs/benchmarks\.md$", r"^python benchmarks/", "measures for minutes, most on patches that are not here"),
    Rule(r"^docs/experiments\.md$", r"^python benchmarks/.*camelyon16_40x", "reads patches that are not here"),
    Rule(r"^docs/scaling\.md$", r"^python benchmarks/cluster\.py", "measures for minutes"),
    Rule(r"^docs/quality\.md$", r"^python benchmarks/describe_weights\.py", "writes beside the shipped weights"),
]
"""Of these only the flags are checked, by the script's own parser."""

SMALL: list[tuple[str, dict[str, str]]] = [
    (r"^torchrun ", {"nproc_per_node": "2"}),
    (r"^torchrun .*--no-python", {"nproc_per_node": "1"}),
    (r"tumor-detection train |bundle run training", {"epochs": "1", "val_interval": "1", "num_workers": "0"}),
    (r"bundle run training .*train\.json'|bundle run training .*train\.json |--training_file ", {"batch_size": "2"}),
    (r"--train_folders ", {"train_limit": "4", "batch_size": "2"}),
    (r"train_dense\.json .*--truth_dir ", {"batch_size": "1"}),  # whole fields, which take much memory
    (r"--validation_folders ", {"validation_limit": "8"}),
    (r"tumor-detection infer |bundle run inference", {"stride": "512", "num_checks": "4", "num_workers": "0"}),
    # at this stride few patches are cheaper than a whole tile
    (r"(tumor-detection infer |bundle run inference)(?!.*--mode )", {"mode": "sliding"}),
    (r"^tumor-detection sample ", {"num_tumor": "1"}),
    (r"^tumor-detection foreground ", {"stride": "512"}),
    (r"benchmarks/patch_metrics\.py", {"resamples": "20"}),
    (r"fuzz_readers\.py", {"minutes": "0.02", "examples": "20"}),
    (r"benchmarks/staging\.py", {"patients": "3"}),
]
"""Flags that commands of a pattern get, in place of those that are printed."""

IN_BUNDLE = [
    Rule(r"^docs/export\.md$", "", "the page says so"),
    Rule(r"^docs/README\.md$", r"configs/|--truth truth ", "the section MONAI Bundle Commands says so"),
]
"""Commands that are to be given in the bundle's folder."""

JOURNEYS = [
    ("README.md", "docs/report.md", "docs/review.md", "docs/correcting.md"),
    ("docs/evaluation.md", "docs/scoring_rules.md"),
    ("docs/staging.md",),
    ("docs/quality.md", "docs/backbones.md"),
    ("docs/data.md",),
    ("docs/configs.md",),
    ("docs/scaling.md",),
    ("docs/README.md", "bundle/sample/README.md"),
    ("docs/export.md",),
    ("docs/experiments.md",),
    ("docs/camelyon16.md",),
    ("docs/slide_tables.md",),
    ("docs/benchmarks.md", "docs/publishing.md", "docs/security.md"),
]
"""Pages that are read one after the other, in one folder."""


# --- what pages start from ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``demo`` after the README's first command, made once for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(base / "demo.lock"):
        if not (base / "demo_is_made").exists():
            _make_demo(base / "demo")
            (base / "demo_is_made").touch()
    return base / "demo"


def _make_demo(folder: Path) -> None:
    # a process of its own: its training leaves log handlers with the streams of this moment
    with Started(["helpers.small_demo", str(folder)], folder.parent) as process:
        assert process.wait() == 0, process.said


def _write_pictures(folder: Path, demo: Path, table: str) -> None:
    """Patches of the demo's slides, as PatchCamelyon's; one in nine has the wrong label, as no network is sure of."""
    for number, region in enumerate(read_loclabels(demo / table)):
        (row, col), labels = region["center"], region["label"][0] > 0
        with open_slide(demo / "cohort" / "training" / f"{region['name']}.tif") as slide:
            for cell in np.ndindex(labels.shape):
                label = int(labels[cell] != (cell == (number % 3, 1)))
                corner = (row + 256 * (cell[0] - 1) - 192, col + 256 * (cell[1] - 1) - 192)
                path = folder / str(label) / f"{number}_{cell[0]}_{cell[1]}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(slide.read_region(corner, (96, 96), 4.0)).save(path)


def _scene(folder: Path, demo: Path, page: str) -> None:
    """A checkout after ``make demo``, with the files of the reader's own that the page names."""
    for name in ("benchmarks", "constraints.txt"):
        (folder / name).symlink_to(ROOT / name)
    for place in ("bundle", "."):
        (folder / place).mkdir(exist_ok=True)
        _write_pictures(folder / place / "pcam" / "train", demo, "training.csv")
        _write_pictures(folder / place / "pcam" / "valid", demo, "validation.csv")
    for path in (ROOT / "bundle").iterdir():
        if not path.name.startswith((".", "_")):
            (folder / "bundle" / path.name).symlink_to(path)
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "scaling.md", folder / "docs")
    (folder / "bin").mkdir()  # the console command of this checkout, for a shell
    command = folder / "bin" / "tumor-detection"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/bundle/scripts/cli/main.py" "$@"\n')
    command.chmod(0o755)
    shutil.copytree(demo, folder / "demo", symlinks=True)
    if page in ("docs/README.md", "docs/export.md"):
        _own_slides(folder / "bundle", folder / "demo")
    if page in ("docs/README.md", "docs/evaluation.md", "docs/scaling.md"):
        _own_slides(folder, folder / "demo")
    if page == "docs/evaluation.md":
        _own_maps(folder)
    if page == "docs/data.md":
        _camelyon16(folder)
    if page == "docs/slide_tables.md":
        _slide_tables(folder, page)


def _slide_tables(folder: Path, page: str) -> None:
    """The two tables as the page prints them, and what they list."""
    _own_slides(folder, folder / "demo")
    (folder / "annotations").symlink_to(folder / "demo" / "cohort" / "annotations")
    tables = [text for _, language, text in fences((ROOT / page).read_text(encoding="utf-8")) if language == "text"]
    for name, text in zip(("slides.csv", "corrections.csv"), tables, strict=True):
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _own_slides(folder: Path, demo: Path) -> None:
    """The links and copies that docs/configs.md makes, and the truth."""
    (folder / "slides").symlink_to(demo / "cohort" / "training")
    shutil.copy(demo / "training.csv", folder)
    shutil.copy(demo / "validation.csv", folder)
    slides = sorted((demo / "cohort" / "training").glob("*.tif"))
    write_groundtruth(demo / "cohort" / "annotations", slides, folder / "truth", 64)


def _own_maps(folder: Path) -> None:
    """Maps of two networks, detections of another program, weights; maps of CAMELYON16 and its truth."""
    (folder / "runs" / "first").mkdir(parents=True)
    shutil.copy(folder / "demo" / "training" / "model.pt", folder / "runs" / "first")
    sources = {"tumor_001": "test_001", "normal_001": "test_002"}
    (folder / "detections").mkdir()
    for name, source in sources.items():
        for place in ("maps", "maps_2"):
            _copy_map(folder / "demo" / "maps" / source, folder / place / name)
        shutil.copy(folder / "demo" / "scores" / "detections" / f"{source}.csv", folder / "detections" / f"{name}.csv")
    for name in ("test_003", "test_005", "test_049", "test_114"):
        _copy_map(folder / "demo" / "maps" / "test_002", folder / "maps" / name)
    shutil.copytree(folder / "demo" / "cohort" / "annotations", folder / "camelyon16" / "annotations")
    _write_reference(folder / "camelyon16", "test_003,Normal,IDC,None", "test_005,Normal,DCIS,None")


def _write_reference(folder: Path, *rows: str) -> None:
    """CAMELYON16's table of test slides."""
    (folder / "reference.csv").write_text("\n".join(rows), encoding="utf-8")


def _copy_map(source: Path, target: Path) -> None:
    """The same map under another slide's name."""
    target.parent.mkdir(exist_ok=True)
    shutil.copy(f"{source}.npy", f"{target}.npy")
    sidecar = json.loads(Path(f"{source}.json").read_text(encoding="utf-8"))
    Path(f"{target}.json").write_text(json.dumps(sidecar | {"slide": f"{target.name}.tif"}), encoding="utf-8")


def _camelyon16(folder: Path) -> None:
    """The layout of the page: CAMELYON16, NCRF, and slides of the reader's own."""
    cohort, target = folder / "demo" / "cohort", folder / "camelyon16"
    shutil.copytree(cohort / "training", target / "training")
    shutil.copytree(cohort / "annotations", target / "annotations")
    (target / "test").mkdir()
    shutil.copy(cohort / "testing" / "test_001.tif", target / "test")
    for name in ("test_003", "test_005"):
        shutil.copy(cohort / "testing" / "test_002.tif", target / "test" / f"{name}.tif")
    (target / "annotations" / "test_002.xml").unlink()
    _write_reference(target, "test_001,Tumor,IDC,Macro", "test_003,Normal,IDC,None", "test_005,Normal,DCIS,None")
    for part in ("coords", "jsons"):
        (folder / "NCRF" / part).mkdir(parents=True)
    for split in ("train", "valid"):
        lines = (cohort / "coords" / f"{split}.txt").read_text(encoding="utf-8").splitlines(keepends=True)
        for kind in ("tumor", "normal"):
            of_kind = "".join(line for line in lines if line.startswith(kind))
            (folder / "NCRF" / "coords" / f"{kind}_{split}.txt").write_text(of_kind, encoding="utf-8")
    shutil.copy(cohort / "annotations" / "tumor_001.xml", folder / "NCRF" / "jsons")
    shutil.copytree(cohort / "training", folder / "slides" / "training")
    shutil.copytree(cohort / "testing", folder / "slides" / "validation")
    shutil.copytree(cohort / "annotations", folder / "annotations")


# --- running --------------------------------------------------------------------------------------------------------


class _ParsedError(Exception):
    """The flags of a script were accepted."""


def _parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a script read its flags, and stop it there."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(*arguments: Any, **named: Any) -> None:
        parse_args(*arguments, **named)
        raise _ParsedError

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "argv", words[1:])
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        with pytest.raises(_ParsedError):
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")


def _run_one(command: Command, folder: Path, tumor_detection: TumorDetection) -> None:
    words = shlex.split(command.text)
    for pattern, flags in SMALL:
        if re.search(pattern, command.text):
            words = with_flags(words, flags)

    def succeed(*arguments: str) -> None:
        outcome = tumor_detection(*arguments)
        assert outcome.status == 0, f"{command}\n{outcome.err[-4000:]}"

    run(words, folder / "bundle" if _fits(IN_BUNDLE, command) else folder, succeed)
    if command.text.endswith(" runs/four_0"):  # the page says: and the same with the seeds 1 to 3
        for seed in (1, 2, 3):
            shutil.copytree(folder / "runs" / "four_0", folder / "runs" / f"four_{seed}")


def _fits(rules: list[Rule], command: Command) -> bool:
    return any(rule.fits(command) for rule in rules)


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """MONAI's command replaces the root logger's handlers, which are pytest's."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.mark.slow
@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey[0])
def test_printed_commands_run_in_order(
    journey: tuple[str, ...],
    demo: Path,
    tumor_detection: TumorDetection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quiet_logging: None,
) -> None:
    _scene(tmp_path, demo, journey[0])
    writers: dict[Path, Command] = {}
    before = files_of(tmp_path)
    for command in (command for page in journey for command in commands(ROOT / page)):
        if command.text.startswith("make demo") or _fits(SKIPPED, command):
            continue
        if _fits(PARSED, command):
            _parse(shlex.split(command.text), monkeypatch)
            continue
        print(command, flush=True)
        _run_one(command, tmp_path, tumor_detection)
        after = files_of(tmp_path)
        for path in before:
            writer = writers.get(path)
            if after.get(path) != before[path] and writer is not None and writer.text != command.text:
                raise AssertionError(f"{command}\nchanges {path.relative_to(tmp_path)}, which\n{writer}\nwrote")
        writers |= {path: command for path in after if after[path] != before.get(path)}
        before = after


# --- nothing is forgotten -------------------------------------------------------------------------------------------


def test_every_page_with_commands_is_run() -> None:
    run_pages = [page for journey in JOURNEYS for page in journey]
    with_commands = [path.relative_to(ROOT).as_posix() for path in pages() if commands(path)]
    assert sorted(run_pages) == sorted(with_commands)


def test_every_block_without_a_language_is_known() -> None:
    """A block that begins with a program that PROGRAMS lacks would pass for output."""
    for path in pages():
        known = {command.line for command in commands(path)}
        for first, language, content in fences(path.read_text(encoding="utf-8")):
            if not language and first not in known:
                assert not re.search(r"\s--?\w", content), f"{path.relative_to(ROOT)}:{first}: a command? see PROGRAMS"


@pytest.mark.parametrize("rule", SKIPPED + PARSED + IN_BUNDLE, ids=lambda rule: f"{rule.page} {rule.pattern}")
def test_every_rule_is_about_a_command(rule: Rule) -> None:
    assert rule.reason
    assert any(rule.fits(command) for path in pages() for command in commands(path))
