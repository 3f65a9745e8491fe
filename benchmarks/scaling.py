"""Training and inference by several processes of one machine, against one process.

    python benchmarks/scaling.py ../shared/data/camelyon16_40x --markdown docs/benchmarks.md

Each process has one thread on a CPU, or one GPU. Timed are the steps of training, without the first ones, and
inference from the start of its engine to its last map.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

import torch  # noqa: E402
from PIL import Image  # noqa: E402
from report import command_line, machine_line, markdown_table, replace_block  # noqa: E402
from slides import make_layout, read_patches, write_mosaic  # noqa: E402

from scripts.network.processors import count_processors  # noqa: E402

_WARM_UP_STEPS = 2


class StepTimer:
    """Ignite handler that notes how long the steps of a training took, from the end of the warm-up.

    Args:
        path: file to note it in, as JSON; None notes nothing.
        is_off: whether this process leaves it to another.
    """

    def __init__(self, path: str, is_off: bool) -> None:
        self.path = Path(path)
        self.is_off = is_off
        self._started = 0.0

    def attach(self, engine: Any) -> None:
        """Attach to a trainer."""
        from ignite.engine import Events

        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Note the time."""
        steps = engine.state.iteration - _WARM_UP_STEPS
        if self.is_off or steps < 0:
            return
        if engine.state.device.type == "cuda":
            torch.cuda.synchronize()
        if steps == 0:
            self._started = time.monotonic()
        else:
            self.path.write_text(json.dumps({"seconds": time.monotonic() - self._started, "steps": steps}))


def launch(num_ranks: int, threads: int, run_id: str, configs: list[str]) -> None:
    """Run a config in several processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_ranks}"]
    command += ["-m", "monai.bundle", "run", run_id, "--config_file", str(configs)]
    subprocess.run(command, env=environment, check=True)


def train_rate(folder: Path, pictures: Path, batch_size: int, steps: int, num_ranks: int, threads: int) -> float:
    """Pictures per second of training."""
    name = f"train_{num_ranks}_{threads}"
    timer = {"_target_": "scaling.StepTimer", "path": str(folder / f"{name}_steps.json"), "is_off": "@is_not_rank0"}
    overlay = {
        "train_tables": [str(pictures / "labels.csv")],
        "validation_tables": [str(pictures / "labels.csv")],
        "train_limit": batch_size * (steps + _WARM_UP_STEPS),
        "validation_limit": 16,
        "cache": "cpu",
        "num_workers": 0,
        "batch_size": batch_size,
        "epochs": 1,
        "output_dir": str(folder / name),
        "+train#handlers": [timer],
    }
    (folder / f"{name}.json").write_text(json.dumps(overlay))
    configs = [str(ROOT / "bundle/configs" / f"{part}.json") for part in ("train", "train_patches", "multi_gpu_train")]
    launch(num_ranks, threads, "training", [*configs, str(folder / f"{name}.json")])
    found = json.loads((folder / f"{name}_steps.json").read_text())
    return float(found["steps"] * batch_size / found["seconds"])


def inference_rate(folder: Path, slides: Path, num_ranks: int, threads: int) -> float:
    """Square millimetres of tissue per second of inference."""
    name = f"infer_{num_ranks}_{threads}"
    overlay = {"slides": str(slides), "output_dir": str(folder / name)}
    (folder / f"{name}.json").write_text(json.dumps(overlay))
    configs = [str(ROOT / "bundle/configs" / f"{part}.json") for part in ("inference", "multi_gpu_inference")]
    launch(num_ranks, threads, "inference", [*configs, str(folder / f"{name}.json")])
    run = json.loads((folder / name / "run.json").read_text())
    return float(run["mm2_per_second"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, help="folder with patches.zip and labels.csv")
    count = torch.cuda.device_count() or count_processors()
    parser.add_argument("--processes", type=int, nargs="+", default=sorted({1, 2, count}), help="how many")
    parser.add_argument("--batch_size", type=int, default=64, help="pictures per step of all processes")
    parser.add_argument("--steps", type=int, default=6, help="steps that are timed")
    parser.add_argument("--num_slides", type=int, default=6, help="mosaics of growing size")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'scaling'")
    options = parser.parse_args()
    machine = machine_line()
    print(machine, flush=True)
    runs = [(number, 1) for number in sorted(options.processes)]
    if not torch.cuda.is_available():
        runs.insert(1, (1, count))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        patches = read_patches(options.patches)
        (folder / "pictures").mkdir()
        (folder / "slides").mkdir()
        for index, image in enumerate(patches.images):
            Image.fromarray(image).save(folder / "pictures" / f"{index}.png")
        lines = [f"{index}.png,{int(is_tumor)}" for index, is_tumor in enumerate(patches.is_tumor)]
        (folder / "pictures" / "labels.csv").write_text("\n".join(["file,label", *lines]))
        for index in range(options.num_slides):
            shape = (2560 + 512 * index, 3072 + 768 * index)
            layout = make_layout(shape, patches.is_tumor, 0.6, tumor=0.05, num_blobs=2, seed=index)
            write_mosaic(folder / "slides" / f"mosaic_{index}.tif", patches.images, layout, shape)
        rates = []
        for run in runs:
            train = train_rate(folder, folder / "pictures", options.batch_size, options.steps, *run)
            rates.append((train, inference_rate(folder, folder / "slides", *run)))
            print(f"{run[0]} processes of {run[1]} threads: {rates[-1]}", flush=True)
    header = ["processes", "threads of each", "training, pictures/s", "ratio", "inference, mm²/s", "ratio"]
    rows = []
    for run, (train, infer) in zip(runs, rates, strict=True):
        ratios = train / rates[0][0], infer / rates[0][1]
        rows.append([*map(str, run), f"{train:.2f}", f"{ratios[0]:.2f}", f"{infer:.3f}", f"{ratios[1]:.2f}"])
    table = markdown_table(header, rows)
    print(table)
    if options.markdown is not None:
        replace_block(options.markdown, "scaling", "\n\n".join([f"```\n{command_line()}\n```", machine, table]))


if __name__ == "__main__":
    main()
