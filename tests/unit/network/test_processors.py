from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scripts.network import processors
from scripts.network.network import prepare_network
from scripts.network.processors import count_processors, count_streams, count_threads, share_processors

ROOT = Path(__file__).parents[3]
NUM_CORES = 12


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(NUM_CORES)), raising=False)


class Groups:
    """Files of the kernel's about a process in nested groups, as it would find them in ``/proc/self``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proc = folder / "proc"
        self.proc.mkdir(parents=True)
        self.lines = ["1:name=systemd:/unlimited"]
        self.mounts = ["23 1 8:1 / / rw,relatime - ext4 /dev/root rw", "31 23 0:28 / /sys rw shared:2 - tmpfs tmpfs rw"]

    def add(self, version: int, names: list[str], quotas: list[tuple[int, int] | None], root: str = "/") -> None:
        """Groups below a mount: limit and period in µs of the mount's own group and of each below it."""
        folder = self.folder / f"mount {version}"
        prefix, kind, options = ("0::", "cgroup2", "rw") if version == 2 else ("4:cpu,cpuacct:", "cgroup", "rw,cpu")
        path = "/".join(["", *filter(None, root.split("/")), *names]) or "/"
        self.lines.append(f"{prefix}{path}")
        place = str(folder).replace(" ", r"\040")
        self.mounts.append(f"40 31 0:30 {root} {place} rw,relatime shared:9 - {kind} {kind} {options}")
        for depth, quota in enumerate(quotas):
            group = folder.joinpath(*names[:depth])
            group.mkdir(parents=True, exist_ok=True)
            if version == 2 and (depth or quota):  # the hierarchy's root has no such file
                (group / "cpu.max").write_text(f"{quota[0]} {quota[1]}\n" if quota else "max 100000\n")
            if version == 1:
                (group / "cpu.cfs_quota_us").write_text(f"{quota[0] if quota else -1}\n")
                (group / "cpu.cfs_period_us").write_text(f"{quota[1] if quota else 100000}\n")

    def count(self) -> int:
        (self.proc / "cgroup").write_text("\n".join(self.lines) + "\n")
        (self.proc / "mountinfo").write_text("\n".join(self.mounts) + "\n")
        return count_processors(self.proc)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ([None, None, None], NUM_CORES),
        ([None, None, (400000, 100000)], 4),
        ([None, (200000, 100000), (400000, 100000)], 2),
        ([(300000, 100000), None, None], 3),
        ([None, None, (150000, 100000)], 2),
        ([None, None, (5000, 100000)], 1),
        ([None, None, (6400000, 100000)], NUM_CORES),
        ([None, None, (25000, 10000)], 3),
    ],
    ids=["none", "own", "of the group around", "of the root", "one and a half", "a twentieth", "many", "other period"],
)
def test_time_that_groups_grant_counts(
    tmp_path: Path, version: int, quotas: list[tuple[int, int] | None], expected: int
) -> None:
    groups = Groups(tmp_path)
    groups.add(version, ["slice", "a job"], quotas)
    assert groups.count() == expected


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("root", "names"), [("/docker/0a1b", []), ("/docker/0a1b", ["inner"])], ids=["the group itself", "one below it"]
)
def test_a_container_sees_its_own_group_as_the_mounts_root(
    tmp_path: Path, version: int, root: str, names: list[str]
) -> None:
    groups = Groups(tmp_path)
    groups.add(version, names, [(250000, 100000), None][: len(names) + 1], root)
    assert groups.count() == 3


@pytest.mark.parametrize("path", ["/../../other", "/kubepods/pod7"])
def test_of_a_group_outside_the_mount_the_mounts_own_limit_counts(tmp_path: Path, path: str) -> None:
    groups = Groups(tmp_path)
    groups.add(2, [], [(200000, 100000)], "/docker/0a1b")
    groups.lines[-1] = f"0::{path}"
    assert groups.count() == 2


def test_without_proc_the_processors_that_the_process_may_run_on_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert count_processors(tmp_path) == NUM_CORES
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert count_processors(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_processors(tmp_path) == 1


_quota = st.none() | st.tuples(st.integers(1000, 2_000_000), st.integers(1000, 1_000_000))
_tree = st.lists(_quota, min_size=1, max_size=5)


@given(first=_tree, second=_tree, root=st.sampled_from(["/", "/docker/0a1b"]), cores=st.integers(1, 300))
def test_no_group_grants_more_than_those_around_it(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[int, int] | None],
    second: list[tuple[int, int] | None],
    root: str,
    cores: int,
) -> None:
    groups = Groups(tmp_path_factory.mktemp("groups"))
    for version, quotas in ((1, first), (2, second)):  # both at once, as on systems between the two
        groups.add(version, [f"g{depth}" for depth in range(1, len(quotas))], quotas, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        found = groups.count()
    granted = min([Fraction(cores), *(Fraction(*quota) for quota in (*first, *second) if quota)])
    assert found >= 1
    assert found - 1 < granted, "one fewer would not use all that is granted"
    assert found == max(1, math.ceil(granted))


@pytest.mark.parametrize(
    ("num_threads", "expected"),
    [(1, 1), (2, 2), (3, 3), (4, 2), (5, 1), (6, 2), (7, 1), (8, 4), (9, 3), (10, 2), (12, 4), (64, 4)],
)
def test_threads_are_shared_out_evenly(num_threads: int, expected: int) -> None:
    assert count_streams(num_threads) == expected
    assert num_threads % expected == 0


def test_nothing_else_counts_processors() -> None:
    """Each library's own count is of the machine, or leaves out what control groups grant."""
    counting = re.compile(
        r"cpu_count|len\(os.sched_getaffinity|ThreadPoolExecutor\(\)|ProcessPoolExecutor\(\)|Pool\(\)"
    )
    files = [*(ROOT / "bundle").rglob("*.py"), *(ROOT / "bundle" / "configs").glob("*.json")]
    files += (ROOT / "benchmarks").glob("*.py")
    found = {path.name for path in files if counting.search(path.read_text(encoding="utf-8"))}
    assert found == {"processors.py"}


@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "7")])
def test_waiting_threads_soon_sleep_unless_the_user_says_otherwise(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000"}
    for key in others:
        monkeypatch.setenv(key, "")  # so that what the test leaves is taken back
        monkeypatch.delenv(key)
    monkeypatch.setenv(name, value)
    share_processors()
    assert {key: os.environ.get(key) for key in others} == {key: value if key == name else None for key in others}
    monkeypatch.delenv(name)
    share_processors()
    assert {key: os.environ[key] for key in others} == others


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield monkeypatch
    torch.set_num_threads(before)


@pytest.mark.parametrize(("allowed", "asked", "expected"), [(1, None, 1), (1, "2", 2), (5, None, 2)])
def test_torch_has_a_thread_for_each_processor_unless_the_user_says_otherwise(
    two_threads: pytest.MonkeyPatch, allowed: int, asked: str | None, expected: int
) -> None:
    two_threads.setattr(processors, "count_processors", lambda: allowed)
    if asked is not None:
        two_threads.setenv("OMP_NUM_THREADS", asked)
    assert count_threads() == expected
    assert torch.get_num_threads() == 2, "counting changes nothing"
    prepare_network(torch.nn.Conv2d(3, 1, 1), torch.device("cpu"))
    assert torch.get_num_threads() == expected
