"""How long ``infer`` takes to its first tile, on one small slide, the first time and again.

    python benchmarks/start.py --markdown docs/benchmarks.md

Each row is a process of its own that runs the command as the console does. Times count from its start: to MONAI
imported, to the network ready, to the first tile computed, and to the end. Seconds of the processor are those of the
process and of its reading processes that have ended. The first run finds an empty cache of networks, the second what
the first kept. Before them a process imports PyTorch and MONAI and does nothing else. Files are read once beforehand,
so that no run waits for the disk. Rounds repeat all of it; the least seconds of the processor tell which round counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

STEPS = ("MONAI imported", "network ready", "first tile", "end")
IMPORTS = "import torch, monai"


def now() -> tuple[float, float]:
    """Wall time, and seconds of the processor that this process took."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.time(), sum(usage.ru_utime + usage.ru_stime for usage in used)


def note(file: Path, step: str) -> None:
    """Write down, once for each step, when it was reached."""
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if step not in found:
        found[step] = now()
        file.write_text(json.dumps(found), encoding="utf-8")


def run_command(file: Path, arguments: list[str]) -> None:
    """Run a command in this process, and note its steps."""
    from scripts import workflow
    from scripts.cli import main

    quiet_monai = workflow._quiet_monai  # called between MONAI's import and its run

    def after_import() -> None:
        note(file, STEPS[0])
        quiet_monai()
        from scripts.inference.tile_inferer import TileInferer

        make_ready, call = TileInferer._make_ready, TileInferer.__call__

        def noted_make_ready(self: Any, network: Any) -> None:
            make_ready(self, network)
            note(file, STEPS[1])

        def noted_call(self: Any, *positional: Any, **named: Any) -> Any:
            found = call(self, *positional, **named)
            note(file, STEPS[2])
            return found

        TileInferer._make_ready, TileInferer.__call__ = noted_make_ready, noted_call  # type: ignore[method-assign]

    workflow._quiet_monai = after_import
    main.main(arguments)
    note(file, STEPS[3])


def start(folder: Path, *code: str) -> dict[str, tuple[float, float]]:
    """Run a process to its end.

    Returns:
        Seconds of wall time since its start and of the processor, by step.
    """
    file = folder / "steps.json"
    file.unlink(missing_ok=True)
    environment = os.environ | {"TUMOR_DETECTION_NETWORKS": str(folder / "networks")}
    started = time.time()
    subprocess.run([sys.executable, *code], env=environment, check=True, capture_output=True)
    found = json.loads(file.read_text(encoding="utf-8"))
    return {step: (reached - started, used) for step, (reached, used) in found.items()}


def measure(folder: Path, slide: Path, others: list[str]) -> dict[str, dict[str, tuple[float, float]]]:
    """One round."""
    this, file = str(Path(__file__).resolve()), str(folder / "steps.json")
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); from pathlib import Path; import start"
    noting = f"{code}; {IMPORTS}; start.note(Path({file!r}), start.STEPS[0])"
    rows = {f"`{IMPORTS}`": start(folder, "-c", noting)}
    for path in (folder / "networks").glob("*"):
        path.unlink()
    for name in ("first run", "second run"):
        command = ["infer", "--slides", str(slide), "--output_dir", str(folder / "maps"), "--resume", "false", *others]
        rows[name] = start(folder, this, "--steps", file, *command)
        print(name, rows[name], flush=True)
    return rows


def main() -> None:
    """Measure and print; with ``--steps`` run a command and note its steps."""
    if sys.argv[1:2] == ["--steps"]:
        run_command(Path(sys.argv[2]), sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slide", type=Path, default=ROOT / "bundle" / "sample" / "metastasis_strip.tif")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], help="further flags of infer, without their dashes: mode dense")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'start'")
    options = parser.parse_args()
    from report import machine_line, markdown_table, publish

    machine = machine_line()
    others = [f"--{word}" if number % 2 == 0 else word for number, word in enumerate(options.set)]
    with tempfile.TemporaryDirectory() as folder:
        rounds = [measure(Path(folder), options.slide, others) for _ in range(options.rounds + 1)][1:]
    rows = []
    for name in rounds[0]:
        best = min((found[name] for found in rounds), key=lambda steps: max(used for _, used in steps.values()))
        cells = [best.get(step) for step in STEPS]
        rows.append([name, *("" if cell is None else f"{cell[0]:.1f} ({cell[1]:.1f})" for cell in cells)])
    header = ["process", *(f"{step}, s (processor)" for step in STEPS)]
    publish(options.markdown, "start", machine, markdown_table(header, rows))


if __name__ == "__main__":
    main()
