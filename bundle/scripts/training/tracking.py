"""Where MLflow keeps what a training run reports."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from monai.utils import path_to_sqlite_uri

from ..errors import InputError


def find_store(tracking_uri: str | None, run_dir: str | Path) -> str:
    """The URI of MLflow's store.

    Args:
        tracking_uri: a server's or a database's, or None for a file of SQLite in the folder of the run.
        run_dir: folder of the run; MLflow puts its copies of files into ``mlruns`` there.

    Returns:
        The URI, as MLflow takes it.

    Raises:
        InputError: if MLflow is not installed, or a folder is given, which MLflow no longer writes to.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise InputError("mlflow.json: MLflow is not installed; install the package's extra mlflow, or leave it out")
    if tracking_uri is None:
        return path_to_sqlite_uri(Path(run_dir) / "mlruns.db")
    if "://" not in tracking_uri or tracking_uri.startswith("file:"):
        raise InputError(
            f"tracking_uri must be a URI such as sqlite:////data/mlruns.db or http://server:5000, but got "
            f"{tracking_uri!r}; MLflow no longer writes to plain folders"
        )
    return tracking_uri
