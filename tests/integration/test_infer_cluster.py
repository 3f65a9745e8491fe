"""Inference on a Ray cluster of several nodes, all on this machine: nothing is lost and nothing is done twice."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.object_store import ENVIRONMENT, ObjectStore, serve_objects
from integration.conftest import Outcome
from scripts import bundle_root
from scripts.cluster.cluster import load_ray
from scripts.slides.pyramid import write_pyramid

pytest.importorskip("ray", reason="the extra 'cluster' brings Ray")
pytestmark = [pytest.mark.integration, pytest.mark.slow]

Command = Callable[..., Outcome]
NUM_SLIDES = 16


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    pytest.importorskip("moto", reason="the extra 'test' brings moto's S3 server")
    with serve_objects() as found:
        yield found


@pytest.fixture(scope="module")
def nodes(store: ObjectStore) -> Iterator[Any]:
    """A head that computes nothing, and two nodes of one process each; they inherit where tests and the store are."""
    before = dict(os.environ)
    tests = str(Path(__file__).parents[1])
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=store.endpoint, OMP_NUM_THREADS="1", PYTHONPATH=tests)
    ray = load_ray()
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **small)
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    os.environ.clear()
    os.environ.update(before)


LISTENERS = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from scripts.cluster.cluster import SlideCluster
from scripts.cluster.worker_pool import Request

def listening():
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return {row[9]: row[1].partition(":")[0] for row in rows if row[3] == "0A"}

def sockets_of(process):
    try:
        links = [os.readlink(path) for path in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return []
    return [link[8:-1] for link in links if link.startswith("socket:[")]

def is_below(process):
    while process > 1 and process != os.getpid():
        try:
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return process == os.getpid()

with SlideCluster(Request("local", 1), {"num_workers": 0, "device": "cpu"}) as cluster:
    cluster._pool.start(1)
    cluster._ray.wait(cluster._pool.workers[0].refs(), timeout=600)
    found = listening()
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    inodes = [inode for process in processes if is_below(process) for inode in sockets_of(process)]
    print({found[inode] for inode in inodes if inode in found})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_run_on_this_machine_listens_to_no_other() -> None:
    command = [sys.executable, "-c", LISTENERS, bundle_root()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    addresses = ast.literal_eval(done.stdout.splitlines()[-1])
    assert addresses, done.stderr
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny synthetic slide."""
    image = np.full((501, 703, 3), 240, dtype=np.uint8)
    image[50:450, 100:640] = (170, 70, 150)
    image[100:200, 300:600, 1] = np.arange(300) % 200
    path = tmp_path_factory.mktemp("tiny") / "tiny.tif"
    write_pyramid(path, image, 0.243)
    return path


@pytest.fixture
def slides(slide: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    for index in range(NUM_SLIDES):
        shutil.copy(slide, folder / f"slide_{index:03}.tif")
    return folder


@pytest.fixture
def flags(nodes: Any, slides: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a quick run, with changes; so many processes begin their first slide together."""
    usual = {"slides": slides, "config_file": tmp_path / "quick.json", "output_dir": "maps", "stride": 32}
    usual |= {"mode": "sliding", "runtime": "torch", "precision": "float32", "num_workers": 0, "tile_size": 512}
    usual |= {"foreground#min_tissue_um2": 100, "ray": "auto"}

    def make(together: int = 1, **changes: object) -> list[str]:
        log = {"_target_": "helpers.slide_log.SlideLog", "path": str(tmp_path / "log.txt"), "together": together}
        overlay = {
            "network_def": {"_target_": "helpers.networks.CentralColor", "channel": 1},
            "handlers": ["@probability_maps", log],
            "weights": None,
        }
        (tmp_path / "quick.json").write_text(json.dumps(overlay))
        chosen = {key: value for key, value in (usual | changes).items() if value is not None}
        return ["infer", *(part for key, value in chosen.items() for part in (f"--{key}", str(value)))]

    return make


def summary(maps: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((maps / "run.json").read_text())
    return content


def begun(folder: Path) -> Counter[str]:
    """How often each slide was begun, by the log that the engines write."""
    lines = (folder / "log.txt").read_text().splitlines()
    return Counter(Path(line.split(" ", maxsplit=1)[1]).stem for line in lines)


NAMES = [f"slide_{index:03}" for index in range(NUM_SLIDES)]


def test_each_slide_is_done_once_as_one_process_would(
    tumor_detection: Command, flags: Callable[..., list[str]], slides: Path, tmp_path: Path
) -> None:
    (slides / "slide_007.tif").write_bytes((slides / "slide_007.tif").read_bytes()[:3000])
    outcome = tumor_detection(*flags(together=2))
    assert outcome.status == 1
    assert f"1 of {NUM_SLIDES} slides failed, the others are done" in outcome.error
    assert "slide_007.tif: cannot be opened" in outcome.error
    good = [name for name in NAMES if name != "slide_007"]
    assert begun(tmp_path) == Counter({name: 1 for name in NAMES})

    run = summary(tmp_path / "maps")
    assert sorted(Path(slide["slide"]).stem for slide in run["slides_done"]) == good
    assert [Path(slide["slide"]).stem for slide in run["slides_failed"]] == ["slide_007"]
    shares = [worker["slides"] for worker in run["workers"]]
    assert len(shares) == 2
    assert sum(shares) == len(good)
    assert run["bound_by"] in run["seconds_in"]

    alone = tumor_detection(*flags(ray=None, output_dir="alone"))
    assert alone.status == 1
    assert run.keys() - {"workers"} == summary(tmp_path / "alone").keys()
    for name in ("slide_000", NAMES[-1]):
        of_cluster, of_one = (np.load(tmp_path / folder / f"{name}.npy") for folder in ("maps", "alone"))
        assert of_cluster.max() > 0
        np.testing.assert_array_equal(of_cluster, of_one)
    sidecars = [json.loads((tmp_path / folder / "slide_000.json").read_text()) for folder in ("maps", "alone")]
    assert {**sidecars[0], "seconds": 0} == {**sidecars[1], "seconds": 0}

    # one process and a cluster go on with what the other did
    (tmp_path / "log.txt").unlink()
    assert tumor_detection(*flags(output_dir="alone")).status == 1
    again = summary(tmp_path / "alone")
    assert sorted(Path(path).stem for path in again["slides_skipped"]) == good
    assert again["slides_done"] == []


def test_a_node_that_is_killed_repeats_only_its_slides(
    tumor_detection: Command, flags: Callable[..., list[str]], nodes: Any, tmp_path: Path
) -> None:
    victim = nodes.add_node(num_cpus=1, object_store_memory=80 << 20, include_dashboard=False)
    killed: list[float] = []

    def kill() -> None:
        while len(list((tmp_path / "maps").glob("*.json"))) < 3 or len(pids(tmp_path)) < 3:
            time.sleep(0.01)
        nodes.remove_node(victim, allow_graceful=False)
        killed.append(time.monotonic())

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    outcome = tumor_detection(*flags(together=3, stride=12))
    killer.join(timeout=600)
    assert killed, "the run ended before the node could be killed"
    assert outcome.status == 0, outcome.err
    assert "its slides go to others" in outcome.err
    run = summary(tmp_path / "maps")
    assert sorted(Path(slide["slide"]).stem for slide in run["slides_done"]) == NAMES
    assert (run["slides_skipped"], run["slides_failed"]) == ([], [])
    assert sum(worker["lost"] for worker in run["workers"]) == 1, outcome.err
    for name in NAMES:
        assert np.load(tmp_path / "maps" / f"{name}.npy").shape == (42, 59)
    twice = [name for name, count in begun(tmp_path).items() if count > 1]
    assert len(twice) <= 1, "only the slide that was in work"
    assert max(begun(tmp_path).values()) <= 2


def test_a_slide_that_ends_its_reader_is_set_aside(
    tumor_detection: Command, flags: Callable[..., list[str]], slide: Path, tmp_path: Path
) -> None:
    """The process that computes lives on, starts a reader anew and does the next slides."""
    names = ["a", "b", "deadly", "x", "y"]
    (tmp_path / "few").mkdir()
    for name in names:
        shutil.copy(slide, tmp_path / "few" / f"{name}.tif")
    (tmp_path / "few" / "deadly.tif").write_bytes(slide.read_bytes() + b" ")  # the largest comes first
    config = flags()[flags().index("--config_file") + 1]
    overlay = json.loads(Path(config).read_text())
    overlay["handlers"].append({"_target_": "helpers.rank_events.KillReaders"})
    (tmp_path / "deadly.json").write_text(json.dumps(overlay))
    outcome = tumor_detection(*flags(slides=tmp_path / "few", config_file=tmp_path / "deadly.json", workers=1))
    assert outcome.status == 1
    assert "1 of 5 slides failed, the others are done" in outcome.error
    assert "deadly.tif: the process that read it ended by SIGSEGV; the file is damaged" in outcome.error
    assert begun(tmp_path) == Counter({name: 1 for name in names})
    run = summary(tmp_path / "maps")
    assert sorted(Path(slide["slide"]).stem for slide in run["slides_done"]) == ["a", "b", "x", "y"]
    assert [Path(slide["slide"]).stem for slide in run["slides_failed"]] == ["deadly"]
    assert [(worker["slides"], worker["lost"]) for worker in run["workers"]] == [(4, False)]


def pids(folder: Path) -> set[str]:
    log = folder / "log.txt"
    return {line.split(" ")[0] for line in log.read_text().splitlines()} if log.exists() else set()


def test_slides_and_maps_in_a_bucket(
    tumor_detection: Command, flags: Callable[..., list[str]], store: ObjectStore, slide: Path, tmp_path: Path
) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        store.put("slides", f"in/{name}.tif", slide.read_bytes())
    where = {"slides": "s3://slides/in", "output_dir": "s3://slides/maps", "cache_dir": "cache"}
    gb = 2.5 * slide.stat().st_size / 1e9  # of which there are two processes
    outcome = tumor_detection(*flags(**where, cache_gb=f"{2 * gb:.9f}"))
    assert outcome.status == 0, outcome.error
    assert begun(tmp_path) == Counter({name: 1 for name in names})
    expected = [f"maps/{name}{suffix}" for name in names for suffix in (".json", ".npy", "_artifacts.png")] + [
        "maps/run.json"
    ]
    assert [key for key in store.keys("slides") if key.startswith("maps/")] == sorted(expected)
    run = json.loads(store.get("slides", "maps/run.json"))
    assert sorted(entry["slide"] for entry in run["slides_done"]) == [f"s3://slides/in/{name}.tif" for name in names]

    # one process goes on there: a changed slide is computed again, the others are not even copied
    store.put("slides", "in/b.tif", slide.read_bytes() + b" ")
    outcome = tumor_detection(*flags(**where, ray=None, cache_gb=f"{gb:.9f}"))
    assert outcome.status == 0, outcome.error
    run = json.loads(store.get("slides", "maps/run.json"))
    assert [entry["slide"] for entry in run["slides_done"]] == ["s3://slides/in/b.tif"]
    assert len(run["slides_skipped"]) == 3


def test_what_one_process_would_refuse_is_refused(
    tumor_detection: Command, flags: Callable[..., list[str]], tmp_path: Path
) -> None:
    outcome = tumor_detection(*flags(weights="none.pt"))
    assert outcome.status == 1
    assert "none.pt: no such file of weights" in outcome.error
    outcome = tumor_detection(*flags(workers=0))
    assert "--workers must be at least 1, but got 0" in outcome.error
    outcome = tumor_detection(*flags(ray=None, workers=2))
    assert "are for a cluster; add --ray" in outcome.error
