"""How long it takes to mine, to score and to write the page: tried on made maps of the size that the real ones have."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..annotations.writers import write_asap_xml
from ..errors import NoLesionError
from ..files import write_json, write_npy
from ..folders.names import slide_name
from ..geometry import map_shape
from ..slides.slide import MODEL_MPP

_NUM_SLIDES = 2
_SMALL = (1536, 2048)  # of a slide that nobody waits for; the first time loads modules, once in a run
_BLOB = 4  # map pixels, about as far as neighbors in a map of a network are alike
_RARE = 30  # the power that leaves 2 of 100 random numbers above 0.5
_LESION_SIDE = 4096  # level-0 pixels, 1 mm


class Seen(NamedTuple):
    """A slide that was looked at.

    Attributes:
        path: its file.
        shape: (height, width) in level-0 pixels.
        mpp: µm per level-0 pixel.
        tissue: (rows, cols) bool, a map pixel each.
    """

    path: Path
    shape: tuple[int, int]
    mpp: float
    tissue: npt.NDArray[np.bool_]


class Made(NamedTuple):
    """What a stage is tried on.

    Attributes:
        maps: folder of probability maps.
        truth: folder of annotations, a square of tumor on each slide.
        labels: a loclabel file of one line.
        slides: the slides that are there.
        output: folder for results.
    """

    maps: Path
    truth: Path
    labels: Path
    slides: list[Path]
    output: Path


class Growth(NamedTuple):
    """What a thing takes, by how many there are of what it works on.

    Attributes:
        first: seconds for one, with all that is done once.
        each: seconds for every further one.
        first_bytes: that are written for one.
        each_bytes: for every further one.
    """

    first: float
    each: float
    first_bytes: float = 0.0
    each_bytes: float = 0.0

    def seconds(self, count: int) -> float:
        """For so many."""
        return self.first + self.each * (count - 1) if count else 0.0

    def num_bytes(self, count: int) -> float:
        """Written for so many."""
        return self.first_bytes + self.each_bytes * (count - 1) if count else 0.0


def measure_growth(work: Callable[[Made], object], slides: Sequence[Seen], stride: int) -> Growth:
    """Try a stage on one slide and on two, in a folder that is removed again.

    The maps say nothing: a detection here and there in the tissue. Every slide has tumor, which takes longest.

    Args:
        work: the stage.
        slides: at least one.
        stride: level-0 pixels per map pixel.

    Returns:
        What it takes; with one slide alone, a further one takes as long as the first.
    """
    small = Seen(Path("test_000.tif"), _SMALL, MODEL_MPP, np.ones(map_shape(_SMALL, stride), dtype=np.bool_))
    slides = slides[:_NUM_SLIDES]
    with tempfile.TemporaryDirectory() as name, quiet():
        _try(work, Path(name) / "small", [small], stride)
        first, first_bytes = _try(work, Path(name) / "first", slides[:1], stride)
        if len(slides) == 1:
            return Growth(first, first, first_bytes, first_bytes)
        both, both_bytes = _try(work, Path(name) / "both", slides, stride)
    return Growth(first, max(both - first, 0.0), first_bytes, max(both_bytes - first_bytes, 0))


def _try(work: Callable[[Made], object], folder: Path, slides: Sequence[Seen], stride: int) -> tuple[float, int]:
    """Seconds, and bytes written."""
    made = _make(folder, slides, stride)
    started = time.monotonic()
    with suppress(NoLesionError):  # of slides smaller than a lesion that counts, where there is no page either
        work(made)
    seconds = time.monotonic() - started
    return seconds, sum(path.stat().st_size for path in made.output.rglob("*") if path.is_file())


def _make(folder: Path, slides: Sequence[Seen], stride: int) -> Made:
    there = [seen.path for seen in slides if seen.path.exists()]
    made = Made(folder / "maps", folder / "truth", folder / "labels.csv", there, folder / "output")
    for path in (made.maps, made.truth, made.output):
        path.mkdir(parents=True)
    made.labels.write_text(f"test_000,0,0{',0' * 9}\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    for seen in slides:
        name = slide_name(seen.path)
        write_npy(made.maps / f"{name}.npy", _made_map(seen.tissue, rng))
        sidecar = {"slide": seen.path.name, "shape": list(seen.shape), "stride": stride, "mpp": seen.mpp}
        write_json(made.maps / f"{name}.json", sidecar)
        write_asap_xml(made.truth / f"{name}.xml", [_square(seen.shape)])
    return made


def _made_map(tissue: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    rows, cols = tissue.shape
    blobs = rng.random((-(-rows // _BLOB), -(-cols // _BLOB)), dtype=np.float32) ** _RARE
    spread = blobs.repeat(_BLOB, axis=0).repeat(_BLOB, axis=1)[:rows, :cols]
    return np.where(tissue, spread, np.float32(0))


def _square(shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """In the middle of a slide."""
    (top, left), (bottom, right) = (
        [side / 2 + sign * min(0.4 * side, _LESION_SIDE / 2) for side in shape] for sign in (-1, 1)
    )
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])


@contextmanager
def quiet() -> Iterator[None]:
    """What is only tried tells nothing: made maps would be warned of, such as tumor on a slide named normal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
