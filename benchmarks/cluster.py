"""Many tiny slides on a Ray cluster of this machine, against one process: rate, balance, and whether each is done once.

    python benchmarks/cluster.py --num_slides 1000 --workers 2 --markdown docs/scaling.md

The slides are synthetic and as small as slides get, so that handing out weighs as much as it can. The network is a
stand-in that takes no time. What is measured is the way of a slide through master, process and files, nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

import numpy as np  # noqa: E402
from report import command_line, machine_line, markdown_table, replace_block  # noqa: E402

from scripts.slides.pyramid import write_pyramid  # noqa: E402

_RUN = (
    f"import sys; sys.path.insert(0, {str(ROOT / 'bundle')!r}); from scripts.cli.main import main; main(sys.argv[1:])"
)
_QUICK = {
    "network_def": {"_target_": "helpers.networks.CentralColor", "channel": 1},
    "weights": None,
    "foreground#min_tissue_um2": 100,
}


def write_slides(folder: Path, count: int) -> None:
    """Copies of a tiny synthetic slide."""
    image = np.full((501, 703, 3), 240, dtype=np.uint8)
    image[50:450, 100:640] = (170, 70, 150)
    folder.mkdir()
    write_pyramid(folder / "slide_00000.tif", image, 0.243)
    for index in range(1, count):
        shutil.copy(folder / "slide_00000.tif", folder / f"slide_{index:05}.tif")


def infer(folder: Path, name: str, *flags: str) -> tuple[dict[str, Any], float]:
    """Run the command; returns its run.json and the seconds from start to end, imports included."""
    (folder / "quick.json").write_text(json.dumps(_QUICK))
    command = [sys.executable, "-c", _RUN, "infer", "--slides", str(folder / "slides"), "--output_dir"]
    command += [str(folder / name), "--config_file", str(folder / "quick.json"), "--stride", "64", "--mode", "sliding"]
    command += ["--runtime", "torch", "--precision", "float32", "--num_workers", "0", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
    started = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    return json.loads((folder / name / "run.json").read_text(encoding="utf-8")), seconds


def main() -> None:
    """Measure, print, and write into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_slides", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    machine = machine_line()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_slides(folder / "slides", arguments.num_slides)
        ray = ("--ray", "local", "--workers", str(arguments.workers), "--worker_cpus", "1")
        for name, flags in (("one process", ()), (f"Ray, {arguments.workers} processes", ray)):
            run, seconds = infer(folder, name.replace(" ", "_"), *flags)
            names = [entry["slide"] for entry in run["slides_done"]]
            if len(set(names)) != arguments.num_slides or len(names) != arguments.num_slides:
                raise AssertionError(f"{name}: {len(set(names))} slides were done {len(names)} times")
            shares = [worker["slides"] for worker in run.get("workers", [])]
            rows.append(
                [
                    name,
                    str(len(names)),
                    f"{run['seconds']:.1f}",
                    f"{seconds:.1f}",
                    f"{len(names) / run['seconds']:.1f}",
                    " and ".join(map(str, shares)),
                ]
            )
    header = ["what", "slides", "run, s", "with start, s", "slides/s", "slides of each process"]
    text = f"```\n{command_line()}\n```\n\n{machine}\n\n{markdown_table(header, rows)}"
    print(text)
    if arguments.markdown is not None:
        replace_block(arguments.markdown, "cluster", text)


if __name__ == "__main__":
    main()
