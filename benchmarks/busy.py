"""Training on a machine that others use too: with threads that keep a processor busy while they wait, and without.

Runs a few steps of train.json on drawn pictures that lie in memory, alone, beside busy processes and on one core. Each
run is a process of its own. "Before" is what torch does by itself; "after" is `network.processors`, as the command
``tumor-detection train`` calls it. Runs take turns. The last row stands for a container with one processor's time:
torch counts the machine's processors there, so "before" has a thread for each on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from scripts.network.processors import count_processors, share_processors  # noqa: E402

SIDE, CELLS = 256, 9  # of a region; train.json cuts patches of 224 px
CONDITIONS = {
    "alone": {},
    "beside 1 busy process": {"busy": 1},
    "beside 2 busy processes": {"busy": 2},
    "on one core": {"cores": 1},
    "with one core's time": {"cores": 1, "threads": True},
}
"""What each row of the table is: busy processes, cores, and whether torch does not know how many it has."""


class Batches(list[dict[str, Any]]):
    """Batches of drawn pictures, as train.json's loader would give them.

    Args:
        steps: how many batches.
        regions: of each.
    """

    def __init__(self, steps: int, regions: int) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        shape = (regions * CELLS, 3, SIDE, SIDE)
        image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        label = (torch.arange(len(image)) % 2).float()[:, None, None, None]
        super().__init__({"image": image, "label": label} for _ in range(steps))


def train(steps: int, skipped: int, regions: int) -> dict[str, float]:
    """Run train.json's trainer.

    Args:
        steps: that are timed.
        skipped: that come before them.
        regions: of nine patches, in each step.

    Returns:
        Wall and processor seconds, and the number of threads.
    """
    import torch
    from ignite.engine import Events
    from monai.bundle import ConfigParser

    config = ConfigParser()
    config.read_config(ROOT / "bundle" / "configs" / "train.json")
    config.update(
        {
            "device": "$torch.device('cpu')",
            "train#dataloader": {"_target_": "busy.Batches", "steps": skipped + steps, "regions": regions},
            "train#handlers": [],
            "epochs": 1,
        }
    )
    trainer = config.get_parsed_content("train#trainer")
    begun = [0.0, 0.0]

    def begin() -> None:
        begun[:] = time.monotonic(), time.process_time()

    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=skipped), begin)
    trainer.run()
    wall, processor = time.monotonic() - begun[0], time.process_time() - begun[1]
    return {"wall": wall, "processor": processor, "threads": torch.get_num_threads()}


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that compute all the time."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(options: argparse.Namespace, condition: dict[str, Any], is_shared: bool) -> dict[str, float]:
    """Run a training in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    command = [sys.executable, __file__, "--child"]
    for name in ("steps", "skipped", "regions"):
        command += [f"--{name}", str(getattr(options, name))]
    if "cores" in condition:
        command += ["--core", str(min(os.sched_getaffinity(0)))]
    if is_shared:
        command += ["--is_shared"]
    elif "threads" in condition:
        environment["OMP_NUM_THREADS"] = str(count_processors())
    with busy_processes(condition.get("busy", 0)):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(found: dict[tuple[str, bool], list[dict[str, float]]]) -> str:
    """Medians of all rounds, and how "after" compares with "before" and with "alone"."""
    from report import markdown_table

    def middle(name: str, is_shared: bool, key: str) -> float:
        return median(run[key] for run in found[name, is_shared])

    header = ["training", "threads", "CPU s before", "after", "ratio", "wall s before", "after", "ratio", "to alone"]
    rows = []
    for name in CONDITIONS:
        threads = [f"{found[name, is_shared][0]['threads']:g}" for is_shared in (False, True)]
        row = [name, threads[0] if threads[0] == threads[1] else " and ".join(threads)]
        for key in ("processor", "wall"):
            before, after = (middle(name, is_shared, key) for is_shared in (False, True))
            row += [f"{before:.2f}", f"{after:.2f}", f"{after / before:.2f}"]
        alone = [middle(name, is_shared, "wall") / middle("alone", is_shared, "wall") for is_shared in (False, True)]
        rows.append([*row, f"{alone[0]:.2f} and {alone[1]:.2f}"])
    return markdown_table(header, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each training runs")
    parser.add_argument("--steps", type=int, default=6, help="that are timed")
    parser.add_argument("--skipped", type=int, default=2, help="steps before them")
    parser.add_argument("--regions", type=int, default=2, help="of nine patches, in each step")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'busy cpu'")
    for name, kind in (("child", None), ("is_shared", None), ("core", int)):
        settings: dict[str, Any] = {"action": "store_true"} if kind is None else {"type": kind}
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS, **settings)
    options = parser.parse_args(arguments)
    if options.child:
        if options.core is not None:
            os.sched_setaffinity(0, {options.core})
        if options.is_shared:
            share_processors()
        print(json.dumps(train(options.steps, options.skipped, options.regions)))
        return
    from report import machine_line, publish

    machine = machine_line()
    print(machine, f"{count_processors()} processors", sep="\n")
    found: dict[tuple[str, bool], list[dict[str, float]]] = {}
    for number in range(options.rounds):
        for name, condition in CONDITIONS.items():
            for is_shared in (False, True) if number % 2 == 0 else (True, False):
                run = measure(options, condition, is_shared)
                found.setdefault((name, is_shared), []).append(run)
                print(f"{name}, {'after' if is_shared else 'before'}: {run}", flush=True)
    publish(options.markdown, "busy cpu", machine, table(found))


if __name__ == "__main__":
    main()
