"""How long inference and training take on this machine, measured on a few tiles and steps of a slide."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ignite.engine import Events

from ..errors import InputError
from ..geometry import REGION_SIZE
from ..inference.tile_plan import make_sample
from ..inference.tile_reader import TileReader
from ..inference.tiles import TileDataset
from ..slides.reader_process import ReaderProcess
from ..slides.slide import open_slide
from ..workflow import create_workflow

logger = logging.getLogger(__name__)

NUM_TILES = 2
_NUM_STEPS = 2  # the first makes the network and the readers ready


class Speed(NamedTuple):
    """What a probe measured.

    Attributes:
        seconds: for a position: reading and computing, one after the other.
        num_tiles: how many tiles were computed.
        memory_gb: most memory that this process took, with the network in it; None where the system does not say.
    """

    seconds: float
    num_tiles: int
    memory_gb: float | None


def measure_speed(
    slide: Path,
    backend: str = "auto",
    assume_mpp: float | None = None,
    values: Mapping[str, Any] | None = None,
    overlays: Sequence[str] = (),
) -> Speed | None:
    """Run the network of ``inference.json`` on a few tiles, as `infer` does, and time the second run.

    Args:
        slide: a slide with tissue.
        backend: see `slides.slide.open_slide`.
        assume_mpp: see `slides.slide.open_slide`.
        values: for further ids of ``inference.json``.
        overlays: configs laid over it.

    Returns:
        The speed, or None if no tile of the slide can be computed; why one cannot be read is logged.

    Raises:
        InputError: if the weights cannot be read.
    """
    settings = {**(values or {}), "slides": str(slide), "backend": backend, "assume_mpp": assume_mpp, "num_workers": 0}
    parser = create_workflow(["inference", *overlays], handlers=[], logging_file=False, **settings).parser
    dataset: Any = parser.get_parsed_content("dataset")
    samples, reading = _read_tiles(dataset, str(slide))
    if not samples:
        return None
    parser["evaluator#val_data_loader"] = samples
    evaluator: Any = parser.get_parsed_content("evaluator")
    evaluator.run()  # makes the network ready
    started = time.monotonic()
    evaluator.run()
    computing = time.monotonic() - started
    num_positions = sum(int(sample["tile"].positions.sum()) for sample in samples)
    return Speed((reading + computing) / num_positions, len(samples), _peak_gb())


def _read_tiles(dataset: TileDataset, slide: str) -> tuple[list[dict[str, Any]], float]:
    """Some tiles of a slide, and the seconds that reading them took; a process of its own may be ended by them."""
    samples: list[dict[str, Any]] = []
    started = time.monotonic()
    reader = TileReader(dataset)
    with reader:
        try:
            tiles = [tile for tile in reader.ask(slide, "plan", slide, None, 0) if tile.positions.any()]
            started = time.monotonic()
            for index in sorted({len(tiles) * part // (NUM_TILES + 1) for part in range(1, NUM_TILES + 1)}):
                samples += [make_sample(tile, reader.read(slide, tile)) for tile in tiles[index : index + 1]]
        except InputError as error:
            logger.error("%s", error)
        return samples, time.monotonic() - started


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
    with ReaderProcess() as reader:
        center = [max(REGION_SIZE, side // 2) for side in reader.ask(str(slide), slide_shape, slide, backend)]
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


def slide_shape(path: Path, backend: str = "auto") -> tuple[int, int]:
    """(height, width) of a slide in level-0 pixels.

    Raises:
        InputError: if it does not open.
    """
    with open_slide(path, backend) as slide:
        return slide.shape


def available_gb() -> float | None:
    """Memory that is free for a new process; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 / 1e9 if found else None


def _peak_gb() -> float | None:
    if os.name == "nt":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def duration(seconds: float) -> str:
    """A time in words: ``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
