"""The challenge from its bucket to its score, on a replica: a local S3 server with drawn Philips slides."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.challenge_bucket import TRUNCATED, UNANNOTATED, put_bucket, write_bucket, write_other_forms
from helpers.networks import TinyNetwork
from helpers.object_store import ENVIRONMENT, ObjectStore, serve_objects
from integration.conftest import Outcome
from scripts.inference.folder_results import ResultFolder

pytestmark = [pytest.mark.integration, pytest.mark.slow]

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
    assert outcome.error.startswith(f"error: 1 slide was set aside, all others are done: {TRUNCATED}; ")
    assert "truncated" in outcome.error
    report = json.loads(Path("out/froc/froc.json").read_text(encoding="utf-8"))
    assert {row["slide"] for row in report["slides"]} == {f"test_{n:03d}.tif" for n in (1, 2, 3, 4, 5)}
    assert report["froc_score"] == 1.0
    page = Path("out/report/report.html").read_text(encoding="utf-8")
    assert "Beside published scores" in page
    assert "1.000" in page
    assert report["settings"]["protocol"] == "camelyon16"
    assert report["excluded"] == ["test_049"], "the twin was computed, and is not scored"
    times = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.npy")}
    again = tumor_detection(*command, *quick)
    assert again.error == outcome.error
    assert again.out.count("is up to date") == 6
    assert times == {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.npy")}


STAGES = ["download", "verify", "labels", "training", "training_maps", "mining", "second_training"]
STAGES += ["foreground", "infer", "froc", "report"]


def tiny_training(folder: Path) -> list[str]:
    """A command for two trainings with a stand-in for the network: a patch takes microseconds."""
    network = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}}
    (folder / "tiny.json").write_text(json.dumps(network), encoding="utf-8")
    command = ["camelyon16", "--root", "data", "--output", "out", "--stride", "256", "--num_resamples", "0"]
    command += ["--num_tumor", "6", "--num_validation", "2", "--mining_threshold", "0.05"]
    for key in ("training", "second_training"):
        command += [f"--{key}", str({"epochs": 1, "batch_size": 2, "num_workers": 0})]
    command += ["--inference", str({"mode": "sliding", "num_workers": 0})]
    return [*command, "--training_overlays", "tiny.json", "--inference_overlays", "tiny.json"]


class Killer:
    """Ends a run when a stage is about to put its first file in place; each stage once."""

    def __init__(self, root: Path, output: Path) -> None:
        self.died: list[str] = []
        self._folders = {stage: root if stage == "download" else output / stage for stage in STAGES}
        self._replace = os.replace

    def replace(self, source: Any, target: Any, **options: Any) -> None:
        """In place of `os.replace`, by which every result appears under its name."""
        for stage, folder in self._folders.items():
            if stage not in self.died and Path(target).absolute().is_relative_to(folder):
                self.died.append(stage)
                raise KeyboardInterrupt
        self._replace(source, target, **options)


def test_two_tiny_trainings_that_are_killed_in_each_stage(
    bucket: Path, source: list[str], store: ObjectStore, tumor_detection: TumorDetection, tmp_path: Path
) -> None:
    """Also the other forms of checksums and of the reference table. Each run goes on in the stage that was killed."""
    other = put_bucket(write_other_forms(bucket, tmp_path / "bucket"), store, "other")
    command = [*tiny_training(tmp_path), "--download", "true", "--source", other, *source[-2:]]
    killer = Killer(tmp_path / "data", tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", killer.replace)
        for stage in STAGES:
            outcome = tumor_detection(*command)
            assert killer.died[-1] == stage, outcome.err
            assert outcome.status != 0
            assert not ledger("out")[stage]["finished"]
    assert killer.died == STAGES
    outcome = tumor_detection(*command)
    print(outcome.out, outcome.err)
    assert "report (was interrupted, goes on)" in outcome.out
    assert outcome.out.count("is up to date") == 10
    assert outcome.error.startswith("error: 2 slides were set aside")
    assert TRUNCATED in outcome.error
    assert UNANNOTATED in outcome.error
    assert set(ledger("out")) == set(STAGES)
    assert all(record["finished"] for record in ledger("out").values())
    assert "compared with checksums.txt" in ledger("out")["verify"]["line"]
    assert "Radboud (" in ledger("out")["froc"]["line"]
    assert not list(tmp_path.rglob("*.tmp*")), "nothing half-written is left"


def test_a_plan_names_a_measured_time_for_each_stage(
    bucket: Path, source: list[str], tumor_detection: TumorDetection, tmp_path: Path
) -> None:
    """Of slides that are there and of slides that the bucket has."""
    shutil.copytree(bucket, tmp_path / "data")
    for name in ("test_002", "tumor_002"):
        (tmp_path / "data" / "images" / f"{name}.tif").unlink()
    plan = tumor_detection(*tiny_training(tmp_path), *source, "--plan")
    print(plan.out, plan.err)
    assert plan.status == 0
    times = re.findall(r"^  (\w+) +([\d.]+ (?:s|min|h)) +to do", plan.out, re.MULTILINE)
    assert [stage for stage, _ in times] == STAGES
    assert re.search(r"not done yet; 2 files of 0\.\d+ GB at [\d.]+ MB/s$", plan.out, re.MULTILINE)
    assert re.search(
        r"together +about [\d.]+ \w+ on this machine, from a probe of \d of 14 slides$", plan.out, re.MULTILINE
    )
    assert [path.name for path in Path("out").iterdir() if not path.name.startswith(".")] == []
    assert not (tmp_path / "data" / "images" / "test_002.tif").exists()


def test_a_plan_and_a_run_that_is_killed_in_its_inference(
    bucket: Path, tumor_detection: TumorDetection, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan measures and writes nothing; the next run computes the maps that the killed one did not."""
    shutil.copytree(bucket, tmp_path / "data")
    (tmp_path / "data" / "images" / TRUNCATED).unlink()
    rows = (tmp_path / "data" / "reference.csv").read_text().splitlines(keepends=True)
    (tmp_path / "data" / "reference.csv").write_text("".join(row for row in rows if "test_006" not in row))
    network = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}, "mode": "sliding", "num_workers": 0}
    (tmp_path / "tiny.json").write_text(json.dumps(network), encoding="utf-8")
    command = ["camelyon16", "--root", "data", "--output", "out", "--stride", "256", "--num_resamples", "0"]
    command += ["--weights", tiny_weights, "--inference_overlays", "tiny.json"]
    plan = tumor_detection(*command, "--plan")
    assert plan.status == 0, plan.err
    assert re.search(r"^  infer +\d+ s +to do after verify", plan.out, re.MULTILINE)
    assert re.search(r"^  training +left out, weights are given", plan.out, re.MULTILINE)
    assert re.search(r"together +about .* from a probe of \d of 6 slides", plan.out)
    assert not list(Path("out").rglob("*.npy"))

    write = ResultFolder.write

    def die(folder: ResultFolder, name: str, *content: Any) -> None:
        if name == "test_003":
            raise KeyboardInterrupt
        write(folder, name, *content)

    with monkeypatch.context() as patch:
        patch.setattr(ResultFolder, "write", die)
        assert tumor_detection(*command).status != 0
    assert not ledger("out")["infer"]["finished"]
    times = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.npy")}
    assert len(times) == 2
    again = tumor_detection(*command)
    assert again.status == 0, again.err
    assert "infer (was interrupted, goes on)" in again.out
    assert times.items() <= {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.npy")}.items()

    anew = tumor_detection(*command, "--from", "froc")
    assert anew.out.count("is up to date") == 3
    assert anew.out.count("not done yet") == 2


def test_bad_input_is_one_line_and_nothing_computed_is_lost(
    bucket: Path, store: ObjectStore, source: list[str], tumor_detection: TumorDetection, tmp_path: Path
) -> None:
    command = ["camelyon16", "--output", "out", "--weights", "shipped", "--root"]
    unreachable = ["--download", "true", "--source", "s3://slides/x", "--endpoint", "http://127.0.0.1:9"]
    assert "s3://slides/x" in tumor_detection(*command, "data", *unreachable).error
    assert "no flag or id --sorce; did you mean 'source'" in tumor_detection(*command, "data", "--sorce", "a").error
    assert "found 'training'; name one of them" in tumor_detection(*command, bucket, "--from", "training").error
    for table, expected in (
        ("test_001,Normal,IDC,None\ntest_003,Normal,DCIS,None\n", "row 1: the slide is Normal, but its truth"),
        ("slide,class,color\ntest_001,Tumor,red\n", "row 1: unknown column 'color'"),
    ):
        (tmp_path / "table.csv").write_text(table)
        outcome = tumor_detection(*command, bucket, "--reference", "table.csv")
        assert f"table.csv, {expected}" in outcome.error
        assert outcome.status == 1
    shutil.copytree(bucket, tmp_path / "copy")
    slide = tmp_path / "copy" / "images" / "test_003.tif"
    slide.write_bytes(slide.read_bytes()[:-1] + b"x")
    outcome = tumor_detection(*command, "copy", "--inference", "{'mode': 'sliding', 'num_workers': 0}", "--stride", 512)
    assert "test_003.tif" in outcome.error
    assert "its MD5 is" in outcome.err
    assert Path("out/report/report.html").is_file(), "all other slides are done"
