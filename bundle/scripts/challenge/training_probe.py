"""How long a training takes on this machine, measured on two steps on a slide."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Events

from ..geometry import REGION_SIZE
from ..slides.slide import open_slide
from ..workflow import create_workflow

_NUM_STEPS = 2  # the first makes the network and the readers ready


def measure_region(
    slide: Path, backend: str, values: Mapping[str, Any] | None = None, overlays: Sequence[str] = ()
) -> float:
    """Train for some steps in a folder that is removed again.

    Args:
        slide: a slide, larger than a region.
        backend: see `slides.slide.open_slide`.
        values: for ids of ``train.json``.
        overlays: configs laid over it.

    Returns:
        Seconds for a region.

    Raises:
        InputError: if the slide or a setting is not fit.
    """
    with open_slide(slide, backend) as found:
        center = [max(REGION_SIZE, side // 2) for side in found.shape]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workflow = create_workflow(
            ["train", *overlays],
            logging_file=False,
            **{
                **(values or {}),
                "backend": backend,
                "dataset_dir": str(slide.parent),
                "training_file": str(folder / "regions.csv"),
                "validation_file": str(folder / "regions.csv"),
                "output_dir": str(folder / "run"),
                "epochs": 1,
                "train#handlers": [],
            },
        )
        batch_size = int(workflow.parser.get_parsed_content("batch_size"))
        lines = [
            f"{slide.stem},{center[1] + index},{center[0]},{','.join(str(index % 2) * 9)}\n"
            for index in range(_NUM_STEPS * batch_size)
        ]
        (folder / "regions.csv").write_text("".join(lines), encoding="utf-8")
        trainer: Any = workflow.parser.get_parsed_content("train#trainer")
        times: list[float] = []
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: times.append(time.monotonic()))
        trainer.run()
    return (times[-1] - times[0]) / (len(times) - 1) / batch_size
