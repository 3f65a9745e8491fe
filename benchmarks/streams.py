"""Inference on a machine that others use too: tiles computed side by side, and one tile by all threads.

    python benchmarks/streams.py ../shared/data --markdown docs/benchmarks.md

"Before", OpenVINO computes one tile at a time, by all threads. "After" is `network.processors.count_streams`: groups of
threads compute several tiles side by side. Both run on the slide of real tissue of `inference.py --tissue`, alone and
beside processes that compute all the time. Runs take turns and the networks stay compiled. The first run of each is not
counted. The maps of both are compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from busy import busy_processes  # noqa: E402
from inference import Pipeline, Run, make_tissue  # noqa: E402
from report import machine_line, markdown_table, publish  # noqa: E402
from slides import read_patches  # noqa: E402

from scripts.network.modes import MODES  # noqa: E402
from scripts.network.processors import count_streams, count_threads  # noqa: E402

WAYS: dict[str, Callable[[int], int]] = {"before": lambda num_threads: 1, "after": count_streams}
USERS = ("scripts.network.runtime.count_streams", "scripts.network.transfers.count_streams")


def run_once(pipeline: Pipeline | None, mode: str, way: str, slide: Path) -> tuple[Pipeline, Run]:
    """Run a mode in one of `WAYS`, with a pipeline that did so before, if there is one."""
    with mock.patch(USERS[0], WAYS[way]), mock.patch(USERS[1], WAYS[way]):
        pipeline = pipeline or Pipeline({"mode": mode})
        return pipeline, pipeline.run(slide, None)


def measure(modes: Sequence[str], slide: Path, rounds: int, most_busy: int) -> str:
    """The table."""
    rows = []
    for mode in modes:
        pipelines, firsts = {}, {}
        for way in WAYS:
            pipelines[way], firsts[way] = run_once(None, mode, way, slide)
        distance = float(np.abs(firsts["before"].prob_map - firsts["after"].prob_map).max())
        alone: dict[str, float] = {}
        for num_busy in range(most_busy + 1):
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            with busy_processes(num_busy):
                for number in range(rounds):
                    for way in list(WAYS) if number % 2 == 0 else list(WAYS)[::-1]:
                        seconds[way].append(run_once(pipelines[way], mode, way, slide)[1].seconds)
            before, after = (median(seconds[way]) for way in WAYS)
            alone = alone or {"before": before, "after": after}
            rows.append(
                [
                    mode,
                    "alone" if num_busy == 0 else f"beside {num_busy} busy process{'es' if num_busy > 1 else ''}",
                    f"{before:.2f}",
                    f"{after:.2f}",
                    f"{after / before:.2f}",
                    f"{before / alone['before']:.2f} and {after / alone['after']:.2f}",
                    f"{distance:.1g}",
                ]
            )
            print(rows[-1], flush=True)
    header = ["mode", "machine", "s before", "after", "ratio", "to alone", "largest difference of probabilities"]
    return markdown_table(header, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with camelyon17_40x and camelyon16_40x")
    parser.add_argument("--shape", type=int, nargs=2, default=(9728, 11776), help="of the slide, in pixels")
    parser.add_argument("--modes", choices=MODES, nargs="+", default=["dense", "refined", "cascade"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most_busy", type=int, default=2, help="processes beside which it runs, at most")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'streams cpu'")
    options = parser.parse_args(arguments)
    machine = machine_line()
    title = f"{count_threads()} threads; after: {count_streams(count_threads())} tiles side by side"
    print(machine, title, sep="\n")
    with tempfile.TemporaryDirectory() as name:
        slide = make_tissue(
            options.data, read_patches(options.data / "camelyon16_40x"), tuple(options.shape), Path(name)
        )
        table = measure(options.modes, slide, options.rounds, options.most_busy)
    publish(options.markdown, "streams cpu", machine, title, table)


if __name__ == "__main__":
    main()
