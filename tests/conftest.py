"""Fixtures and rules for all tests; imports nothing heavy."""

from __future__ import annotations

import importlib.util
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from helpers.memory import give_back, set_aside
from scripts.slides.cucim_backend import prepare_cufile

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
"""Real data beside the checkout; not part of the repository."""

for _number in (signal.SIGINT, signal.SIGHUP):  # a job in the background may have them ignored, and passes that on
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

prepare_cufile()  # before any test module imports MONAI, which imports cuCIM's libraries

# No deadline: shared machines are slow at times. Derandomized: the same examples in every run.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.load_profile("project")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data, or the test is skipped."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data: {SHARED_DATA} is not there")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def _networks_are_kept_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache alone; what one converted, others take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUMOR_DETECTION_NETWORKS", str(tmp_path_factory.mktemp("networks")))
        yield


@pytest.fixture(autouse=True, scope="module")
def _memory_of_a_module_is_given_back() -> Iterator[None]:
    """Without this, a process that runs all modules grows by gigabytes."""
    yield
    give_back()
    set_aside()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A logging file, as MONAI applies it, silences loggers and leaves handlers that write to a captured stream."""
    yield
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False
    for handler in logging.root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)
    absl = sys.modules.get("absl.logging")  # OpenVINO imports it; it closes the stream that it found, which is pytest's
    if absl is not None:
        absl.get_absl_handler().python_handler.stream = sys.__stderr__


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that at the end of a run no process waits long for another."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the machine cannot run."""
    if item.get_closest_marker("cucim") and importlib.util.find_spec("cucim") is None:
        pytest.skip("cuCIM is not installed (it exists for Linux only)")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
