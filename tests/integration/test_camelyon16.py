"""The challenge from its bucket to its score, on a replica: a local S3 server with drawn Philips slides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.challenge_bucket import TRUNCATED, put_bucket, write_bucket
from helpers.networks import TinyNetwork
from helpers.object_store import ENVIRONMENT, ObjectStore, serve_objects
from integration.conftest import Outcome

pytestmark = pytest.mark.integration

TumorDetection = Callable[..., Outcome]

TINY = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}, "mode": "sliding", "num_workers": 0}
"""In place of the bundle's network where what is around it is tested: a patch takes microseconds."""


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
