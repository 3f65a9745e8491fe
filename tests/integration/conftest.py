"""What integration tests share: a small synthetic cohort, weights, labels, and the command run in this process.

The files are made once per session and are read-only by agreement: a test that damages one copies it first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers.memory import give_back, set_aside
from scripts.labels.loclabel import generate_loclabels
from scripts.synthetic.cohort import Cohort, write_cohort

SHAPE = (1201, 1603)
"""(height, width) of the cohort's slides in level-0 pixels."""

NETWORK_DEF = {
    "model_name": "resnet18",
    "num_classes": 1,
    "use_conv": True,
    "pool": ("avg", {"kernel_size": 7, "stride": 1}),
    "pretrained": False,
}
"""The bundle's network_def."""


class Loclabels(NamedTuple):
    """Label files of the cohort's training slides."""

    training: Path
    validation: Path


class Outcome(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The last line on standard error; there is no traceback before it."""
        assert "Traceback" not in self.err, self.err
        return self.err.splitlines()[-1] if self.err else ""


@pytest.fixture(autouse=True, scope="session")
def _imports_are_set_aside() -> None:
    """Commands collect garbage after each run, which takes half a second among the objects of PyTorch and MONAI."""
    import monai.bundle  # noqa: F401

    set_aside()


@pytest.fixture(autouse=True)
def _free_what_a_test_computed() -> Iterator[None]:
    """A network and its activations take hundreds of MB."""
    yield
    give_back()
    set_aside()


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Slides tumor_001, normal_001 (training), test_001 with tumor, test_002 without; XML annotations; coordinates."""
    root = tmp_path_factory.mktemp("cohort")
    return write_cohort(root, 2, 2, SHAPE, num_train_regions=8, num_valid_regions=4, form="generic")


@pytest.fixture(scope="session")
def slides_dir(cohort: Cohort) -> Path:
    """Folder of all the cohort's slides."""
    return cohort.testing[0].parents[1]


@pytest.fixture(scope="session")
def loclabels(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Loclabels:
    """Label files made from the cohort's coordinates and annotations."""
    folder = tmp_path_factory.mktemp("loclabels")
    found = Loclabels(folder / "training.csv", folder / "validation.csv")
    for coords, output in zip((cohort.train_coords, cohort.valid_coords), found, strict=True):
        generate_loclabels(coords, cohort.annotations_dir, output)
    return found


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the bundle's network, always the same."""
    import torch
    from monai.networks.nets import TorchVisionFCModel

    path = tmp_path_factory.mktemp("weights") / "model.pt"
    with torch.random.fork_rng():
        torch.manual_seed(7)
        torch.save(TorchVisionFCModel(**NETWORK_DEF).state_dict(), path)
    return path


@pytest.fixture
def tumor_detection(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run ``tumor-detection`` in this process, which saves importing torch each time, from the test's folder."""
    from scripts.cli.main import main

    monkeypatch.chdir(tmp_path)
    # MONAI's loggers write to the standard output of the test that first imported it, which is closed after it
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def run(*arguments: object) -> Outcome:
        root = logging.getLogger()
        before = root.handlers[:], root.level
        root.handlers[:] = []  # pytest's; the command sets up its own, on the standard error of this moment
        try:
            return run_captured([str(argument) for argument in arguments])
        finally:
            root.handlers[:], root.level = before

    def run_captured(arguments: list[str]) -> Outcome:
        capfd.readouterr()
        status, message = 0, ""
        try:
            main(arguments)
        except SystemExit as stop:  # what Python itself does with it at the end of a process
            status, message = (stop.code or 0, "") if not isinstance(stop.code, str) else (1, f"{stop.code}\n")
        out, err = capfd.readouterr()
        return Outcome(status, out, err + message)

    return run
