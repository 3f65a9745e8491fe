from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import ignite.distributed as idist
import pytest
import torch
import torch.distributed as dist

from helpers.forked_ranks import run_ranks
from scripts.errors import InputError, explain
from scripts.ranks import count_ranks, quiet, rank_device, read_rank, start_rank


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    yield
    logging.disable(logging.NOTSET)


def test_ranks_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert (read_rank(), count_ranks()) == (5, 8)


@pytest.mark.parametrize("call", [read_rank, count_ranks, rank_device, lambda: start_rank(torch.device("cpu"))])
def test_without_torchrun_the_way_out_is_told(call: object) -> None:
    with pytest.raises(InputError, match=r"is not set: .* torchrun --nproc_per_node=N"):
        call()  # type: ignore[operator]


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice alone; no CUDA is run."""
    chosen: list[int] = []
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert rank_device() == torch.device("cuda", 1)
    assert chosen == [1]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="at least 3 processes for 2 GPUs; give torchrun --nproc_per_node=2"):
        rank_device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert rank_device() == torch.device("cpu")


def test_bad_timeout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError, match="timeout_s must be a positive number"):
        start_rank(torch.device("cpu"), timeout_s=0)


def test_only_the_first_tells_what_all_would_tell(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for rank in (0, 1):
        quiet(rank)
        logging.getLogger("a").info("said by %d", rank)
        logging.getLogger("a").warning("warned by %d", rank)
    assert caplog.messages == ["said by 0", "warned by 0", "warned by 1"]


def left_alone(rank: int, port: int) -> str:
    """One of two processes never comes to the second meeting."""
    dist.destroy_process_group()
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", **where)
    start_rank(torch.device("cpu"), timeout_s=3)
    if rank == 1:
        time.sleep(6)
        return ""
    try:
        idist.all_gather(rank)
    except RuntimeError as error:
        return explain(error)
    return "met"


def test_a_process_that_hangs_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    message, _ = run_ranks(left_alone, 2, tmp_path, port)
    assert message.startswith("another process of this run ended or hangs")


def started(rank: int) -> tuple[int, list[int]]:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    return start_rank(torch.device("cpu")), idist.all_gather(dist.get_rank())


def test_ignite_knows_the_group(tmp_path: Path) -> None:
    assert run_ranks(started, 2, tmp_path) == [(0, [0, 1]), (1, [0, 1])]
