"""Runs a function in several processes that form a group over gloo."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from helpers.preloaded import as_by_itself, fork_context


def run_ranks(function: Callable[..., Any], num_ranks: int, folder: Path, *arguments: Any) -> list[Any]:
    """Call ``function(rank, *arguments)`` in each process.

    Args:
        function: what they do; returns what can be pickled.
        num_ranks: how many there are.
        folder: where they meet.
        arguments: passed on.

    Returns:
        What each returned.
    """
    context = fork_context()
    pipes = [context.Pipe(duplex=False) for _ in range(num_ranks)]
    processes = [
        context.Process(target=_run, args=(function, rank, num_ranks, folder, pipe, arguments), daemon=True)
        for rank, (_, pipe) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    results = [pipe.recv() if pipe.poll(600) else "no answer within ten minutes" for pipe, _ in pipes]
    for process in processes:
        process.join(60)
        process.kill()
    failures = [result for result in results if isinstance(result, str)]
    assert not failures, "\n".join(failures)
    return [result[0] for result in results]


def _run(
    function: Callable[..., Any], rank: int, num_ranks: int, folder: Path, pipe: Any, arguments: tuple[Any, ...]
) -> None:
    as_by_itself()
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder / 'meeting'}",
            rank=rank,
            world_size=num_ranks,
            timeout=timedelta(seconds=500),
        )
        pipe.send((function(rank, *arguments),))
    except BaseException:
        pipe.send(traceback.format_exc())
        raise
