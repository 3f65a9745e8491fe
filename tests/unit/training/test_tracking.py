from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from scripts.errors import InputError
from scripts.training.tracking import find_store


def test_the_default_is_a_file_in_the_folder_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_store(None, "runs/a") == f"sqlite:///{tmp_path}/runs/a/mlruns.db"


@pytest.mark.parametrize("uri", ["sqlite:////data/mlruns.db", "http://server:5000"])
def test_other_stores_are_taken_as_they_are(uri: str) -> None:
    assert find_store(uri, "runs/a") == uri


@pytest.mark.parametrize("uri", ["./mlruns", "file:///data/mlruns", "file:mlruns"])
def test_folders_are_refused(uri: str) -> None:
    with pytest.raises(InputError, match="tracking_uri must be a URI such as"):
        find_store(uri, "runs/a")


def test_mlflow_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="MLflow is not installed; install the package's extra mlflow"):
        find_store(None, "runs/a")
