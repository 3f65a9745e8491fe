"""The challenge from its bucket to its score, on a replica: a local S3 server with drawn Philips slides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.challenge_bucket import TRUNCATED, UNANNOTATED, put_bucket, write_bucket
from helpers.networks import TinyNetwork
from helpers.object_store import ENVIRONMENT, ObjectStore, serve_objects
from integration.conftest import Outcome

pytestmark = pytest.mark.integration

TumorDetection = Callable[..., Outcome]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bucket(tmp_path_factory.mktemp("bucket") / "CAMELYON16")


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with serve_objects() as found:
        yield found


@pytest.fixture
def source(bucket: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags that download from the replica."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return ["--download", "true", "--source", put_bucket(bucket, store), "--endpoint", store.endpoint]


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    with torch.random.fork_rng():
        torch.manual_seed(3)
        torch.save(TinyNetwork().state_dict(), path)
    return path


def ledger(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(output) / "stages.json").read_text(encoding="utf-8"))
    return found


def test_shipped_weights_from_the_bucket_to_the_page(source: list[str], tumor_detection: TumorDetection) -> None:
    """Also the second run: nothing is done again, and the bad slide is named again."""
    command = ["camelyon16", "--root", "data", "--output", "out", "--weights", "shipped", *source]
    quick = ["--stride", "256", "--num_resamples", "50", "--inference", "{'mode': 'sliding', 'num_workers': 0}"]
    outcome = tumor_detection(*command, *quick)
    print(outcome.out)
    assert outcome.status == 1
    assert outcome.error.startswith(f"error: 1 slides were set aside, all others are done: {TRUNCATED}; ")
    assert "truncated" in outcome.error
    report = json.loads(Path("out/froc/froc.json").read_text(encoding="utf-8"))
    assert {row["slide"] for row in report["slides"]} == {f"test_{n:03d}.tif" for n in (1, 2, 3, 4, 5)}
    assert report["froc_score"] == 1.0
    page = Path("out/report/report.html").read_text(encoding="utf-8")
    assert "Beside published scores" in page
    assert "1.000" in page
    times = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.npy")}
    again = tumor_detection(*command, *quick)
    assert again.error == outcome.error
    assert again.out.count("is up to date") == 6
    assert times == {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.npy")}


def test_a_tiny_training_in_two_rounds(bucket: Path, tumor_detection: TumorDetection, tmp_path: Path) -> None:
    """From files that are there, with a stand-in for the network; then one stage begins anew."""
    shutil.copytree(bucket, tmp_path / "data")
    network = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}}  # a patch takes microseconds
    (tmp_path / "tiny.json").write_text(json.dumps(network), encoding="utf-8")
    command = ["camelyon16", "--root", "data", "--output", "out", "--stride", "256", "--num_resamples", "0"]
    command += ["--num_tumor", "6", "--num_validation", "2", "--mining_threshold", "0.05"]
    for key in ("training", "second_training"):
        command += [f"--{key}", str({"epochs": 1, "batch_size": 2, "num_workers": 0})]
    command += ["--inference", str({"mode": "sliding", "num_workers": 0})]
    command += ["--training_overlays", "tiny.json", "--inference_overlays", "tiny.json"]
    outcome = tumor_detection(*command)
    print(outcome.out, outcome.err)
    assert outcome.error.startswith("error: 2 slides were set aside")
    assert TRUNCATED in outcome.error
    assert UNANNOTATED in outcome.error
    assert set(ledger("out")) == {
        *("verify", "labels", "training", "training_maps", "mining", "second_training"),
        *("foreground", "infer", "froc", "report"),
    }
