"""Peak memory of inference on a slide of 100,000 x 100,000 pixels, 2% tissue: that of all its processes together.

    python benchmarks/memory.py ../shared/data/camelyon16_40x --markdown docs/benchmarks.md

The sum of PSS counts memory that processes share once, the sum of RSS once for each of them. Both are sampled.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import command_line, machine_line, markdown_table, replace_block  # noqa: E402
from slides import BACKGROUND, make_layout, read_patches, write_mosaic  # noqa: E402

GB = 1e9
_INTERVAL_S = 0.1
_INFER = f"""
import sys
sys.path.insert(0, {str(ROOT / "bundle")!r})
from scripts.cli.main import main
main(["infer", *sys.argv[1:]])
"""


class Memory(NamedTuple):
    """Memory of a tree of processes.

    Attributes:
        pss: bytes, those shared by n processes counted as an nth for each.
        rss: bytes.
        num_processes: how many there are.
    """

    pss: int
    rss: int
    num_processes: int


def process_tree(pid: int) -> list[int]:
    """A process and all that come from it, as far as they are alive."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:  # it has just ended
                continue
    return found


def tree_memory(pid: int) -> Memory:
    """Memory of a process and all that come from it, now."""
    pss = rss = count = 0
    for process in process_tree(pid):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        sizes = {name: 1024 * int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
        pss, rss, count = pss + sizes.get("Pss", 0), rss + sizes.get("Rss", 0), count + 1
    return Memory(pss, rss, count)


def watch(process: subprocess.Popen[bytes]) -> tuple[Memory, float]:
    """Sample until a process ends.

    Returns:
        The largest of each value, and the seconds it took.
    """
    peak, started = Memory(0, 0, 0), time.monotonic()
    while process.poll() is None:
        peak = Memory(*(max(pair) for pair in zip(peak, tree_memory(process.pid), strict=True)))
        time.sleep(_INTERVAL_S)
    return peak, time.monotonic() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, help="folder with patches.zip and labels.csv")
    parser.add_argument("--shape", type=int, nargs=2, default=(100_000, 100_000), help="of the slide, in pixels")
    parser.add_argument("--tissue", type=float, default=0.02, help="share of the slide")
    parser.add_argument("--set", type=json.loads, default={}, help="ids of inference.json as JSON")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'memory'")
    options = parser.parse_args()
    machine = machine_line()
    print(machine)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        patches, shape = read_patches(options.patches), tuple(options.shape)
        layout = make_layout(shape, patches.is_tumor, options.tissue, tumor=0.05, num_blobs=5, seed=0)
        write_mosaic(folder / "huge.tif", patches.images, layout, shape)
        print(f"huge.tif: {shape[0]} x {shape[1]} px, {(layout != BACKGROUND).sum()} patches of tissue", flush=True)
        flags = {"slides": str(folder / "huge.tif"), "output_dir": str(folder / "maps"), **options.set}
        words = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in flags.items()]
        with subprocess.Popen([sys.executable, "-c", _INFER, *words]) as process:
            peak, seconds = watch(process)
        if process.returncode:
            sys.exit(f"inference ended with status {process.returncode}")
        sidecar = json.loads((folder / "maps" / "huge.json").read_text(encoding="utf-8"))
    rows = [
        ["peak PSS of all processes", f"{peak.pss / GB:.2f} GB", "at most 3 GB"],
        ["peak RSS of all processes, summed", f"{peak.rss / GB:.2f} GB", ""],
        ["processes", str(peak.num_processes), ""],
        ["slide", f"{shape[0]} x {shape[1]} px, {100 * options.tissue:g} % tissue", ""],
        ["mode", str(sidecar["mode"]), ""],
        ["positions", str(sidecar["num_positions"]), ""],
        ["whole run, with the start of Python", f"{seconds:.1f} s", ""],
    ]
    table = markdown_table(["what", "found", "wanted"], rows)
    print(table)
    if options.markdown is not None:
        replace_block(options.markdown, "memory", "\n\n".join([f"```\n{command_line()}\n```", machine, table]))


if __name__ == "__main__":
    main()
