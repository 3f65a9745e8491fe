"""Feeds every reader of files from strangers with made-up and damaged ones, until the time is over or one fails.

    python benchmarks/fuzz_readers.py --minutes 10

A fault is whatever a reader raises that is no `InputError`. The first one is printed, as small as hypothesis can make
it, with what it takes to run it again. tests/unit/test_security.py runs a few of each.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bundle"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from hypothesis import HealthCheck, given, seed, settings  # noqa: E402

from helpers.damaged_slides import SLIDES, SlideFuzzer, damage  # noqa: E402
from helpers.fuzzing import CASES, Case, read_stranger  # noqa: E402


def fuzz(name: str, case: Case, folder: Path, number: int, examples: int, counts: Counter[str]) -> None:
    """Run some examples of a case; hypothesis raises what the reader raised."""

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(content=case.content)
    def check(content: bytes) -> None:
        counts[f"{name}: {'taken' if read_stranger(case, content, folder) is None else 'refused'}"] += 1

    check()


def fuzz_slides(folder: Path, number: int, examples: int, counts: Counter[str]) -> None:
    """Let a process read damaged slides; one that ends it is kept in the working directory."""
    fuzzer = SlideFuzzer(folder)
    for index in range(examples):
        for kind in SLIDES:
            fuzzer.read(kind, damage(kind, np.random.default_rng([number, index])))
    fuzzer.close()
    for (kind, end), count in fuzzer.counts.items():
        counts[f"slide of {kind}: {end}"] += count
    for index, (error, content) in enumerate(fuzzer.crashes):
        Path(f"crash_{number}_{index}.tif").write_bytes(content)
        print(f"crash_{number}_{index}.tif: {error}")


def main() -> None:
    """Fuzz and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=300, help="of each reader, with each seed")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    started, number = time.monotonic(), arguments.seed
    while time.monotonic() - started < 60 * arguments.minutes:
        for name, case in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                fuzz(name, case, Path(folder), number, arguments.examples, counts)
        with tempfile.TemporaryDirectory() as folder:
            fuzz_slides(Path(folder), number, arguments.examples, counts)
        number += 1
    for name, count in sorted(counts.items()):
        print(f"{count:9,}  {name}")
    seconds = time.monotonic() - started
    seeds = f"seeds {arguments.seed} to {number - 1}"
    print(f"{sum(counts.values()):9,}  files in {seconds / 60:.1f} minutes, {seeds}, no fault")


if __name__ == "__main__":
    main()
