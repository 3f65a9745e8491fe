"""Training with mlflow.json: MLflow's own client reads back settings, metrics and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration.conftest import Loclabels
from scripts.synthetic.cohort import Cohort

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.usefixtures("no_telemetry")
def test_a_training_is_tracked(
    tumor_detection: Callable[..., Any], cohort: Cohort, loclabels: Loclabels, tmp_path: Path
) -> None:
    import mlflow

    for path in loclabels:  # two regions of each kind, to be quick
        lines = path.read_text().splitlines(keepends=True)
        (tmp_path / path.name).write_text("".join((*lines[:2], *lines[-2:])))
    labels = ("--training_file", "training.csv", "--validation_file", "validation.csv")
    (tmp_path / "tiny.json").write_text('{"network_def": {"_target_": "helpers.networks.TinyNetwork"}}')
    flags = ("--dataset_dir", cohort.training[0].parent, *labels, "--num_workers", 0, "--batch_size", 2, "--epochs", 2)
    outcome = tumor_detection(
        "train", "--config_file", "mlflow.json", "tiny.json", *flags, "--output_dir", tmp_path / "run"
    )
    assert outcome.status == 0, outcome.err

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/run/mlruns.db")
    (experiment,) = [found for found in client.search_experiments() if found.name == "pathology_tumor_detection"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == str(tmp_path / "run")
    assert run.data.params["batch_size"] == "2"
    assert run.data.params["max_epochs"] == "2"
    assert float(run.data.params["learning_rate"]) == 0.001

    run_id = run.info.run_id
    losses = client.get_metric_history(run_id, "train_loss")
    assert [found.step for found in losses] == [1, 2, 3, 4]
    assert all(found.value > 0 for found in losses)
    for name in ("val_auc", "val_accuracy", "train_accuracy"):
        assert [found.step for found in client.get_metric_history(run_id, name)] == [1, 2], name
    rates = [found.value for found in client.get_metric_history(run_id, "lr_group_0")]
    assert rates[0] == 0.001
    assert rates[-1] < 0.001

    (artifact,) = client.list_artifacts(run_id)
    kept = Path(client.download_artifacts(run_id, artifact.path))
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (kept, tmp_path / "run" / "model.pt")}
    assert len(digests) == 1
