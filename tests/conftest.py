"""Fixtures and rules for all tests; imports nothing heavy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import hypothesis
import pytest

from scripts.cucim_backend import prepare_cufile

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
"""Real data beside the checkout; not part of the repository."""

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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the machine cannot run."""
    if item.get_closest_marker("cucim") and importlib.util.find_spec("cucim") is None:
        pytest.skip("cuCIM is not installed (it exists for Linux only)")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
