"""What stages will take on this machine, from a probe of a few of the slides; figures are measured when asked for."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..geometry import map_shape
from ..masks.foreground_files import slide_foreground
from ..slides.reader_process import ReaderProcess
from ..slides.slide import MODEL_MPP, open_slide
from .cohort import NOT_SCORED, Member
from .layout import Layout
from .probe import measure_region, measure_speed, slide_shape
from .scoring_probe import Growth, Made, Seen, measure_growth, quiet

logger = logging.getLogger(__name__)

_NUM_SLIDES = 4
_READ_BYTES = 64 << 20


class Cost(NamedTuple):
    """What a stage takes.

    Attributes:
        seconds: None where it could not be measured.
        num_bytes: of results on the disk.
        slide_bytes: of slides that are to come.
        remark: what there is to say of it, "" for nothing.
    """

    seconds: float | None = None
    num_bytes: float = 0.0
    slide_bytes: float = 0.0
    remark: str = ""


class _Overview(NamedTuple):
    """Of the slides that were looked at: seconds for one, and map positions with tissue per level-0 pixel."""

    seconds: float
    density: float
    slides: Sequence[Seen]


class Probe:
    """Measures.

    Args:
        layout: where files lie.
        members: slides that take part; those that are still to come are taken to be like the others.
        backend: see `slides.slide.open_slide`.
        stride: level-0 pixels per map pixel.
        sizes: bytes of slides that are to come, by their paths.
    """

    def __init__(
        self,
        layout: Layout,
        members: Sequence[Member],
        backend: str = "auto",
        stride: int = 64,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.layout, self.members = layout, list(members)
        self.backend, self.stride = backend, stride
        self.sizes = sizes or {}

    def of(self, part: str) -> list[Member]:
        """Slides of a part, ``training`` or ``test``."""
        return [member for member in self.members if member.part == part]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(height, width) in level-0 pixels by name, of the slides that open."""
        found = {}
        with ReaderProcess() as reader:
            for member in self.members:
                if self.is_to_come(member):
                    continue
                path = self.layout.root / member.path
                try:
                    found[member.name] = reader.ask(str(path), slide_shape, path, self.backend)
                except InputError as error:  # verify will set it aside
                    logger.warning("%s", error)
        return found

    def is_to_come(self, member: Member) -> bool:
        """Whether a slide is not there yet."""
        return not (self.layout.root / member.path).exists()

    @cached_property
    def sample(self) -> list[Path]:
        """A few slides that open and count, from all over the list."""
        names = self.shapes.keys() - NOT_SCORED
        paths = [self.layout.root / member.path for member in self.members if member.name in names]
        step = max(1, len(paths) // _NUM_SLIDES)
        return paths[::step][:_NUM_SLIDES]

    @cached_property
    def overview(self) -> _Overview:
        """Looking at a slide and finding its tissue."""
        started, num_positions, area = time.monotonic(), 0, 0
        slides = []
        with ReaderProcess() as reader:
            for path in self.sample:
                seen = reader.ask(str(path), _see, path, self.backend, self.stride)
                num_positions += int(seen.tissue.sum())
                area += seen.shape[0] * seen.shape[1]
                slides.append(seen)
        seconds = (time.monotonic() - started) / max(len(self.sample), 1)
        return _Overview(seconds, num_positions / max(area, 1), slides)

    @cached_property
    def seconds_per_byte(self) -> float:
        """Of a checksum."""
        if not self.sample:
            return 0.0
        path = max(self.sample, key=lambda path: path.stat().st_size)
        started = time.monotonic()
        with open(path, "rb") as file:
            content = file.read(_READ_BYTES)
        hashlib.md5(content, usedforsecurity=False)
        return (time.monotonic() - started) / max(len(content), 1)

    def num_bytes(self, members: Sequence[Member]) -> int:
        """Size of the slides' files."""
        return sum(
            self.sizes.get(member.path, 0)
            if self.is_to_come(member)
            else (self.layout.root / member.path).stat().st_size
            for member in members
        )

    def overviews(self, members: Sequence[Member]) -> float | None:
        """Seconds to look at slides; None without a slide to measure on."""
        return self.overview.seconds * len(members) if self.sample else None

    def growth(self, work: Callable[[Made], object]) -> Growth | None:
        """What a stage that judges maps takes; None without a slide to measure on.

        Args:
            work: see `scoring_probe.measure_growth`.
        """
        return measure_growth(work, self.overview.slides, self.stride) if self.sample else None

    def maps(self, members: Sequence[Member], values: dict[str, Any], overlays: Sequence[str]) -> Cost:
        """Inference of slides.

        Args:
            members: the slides.
            values: for ids of ``inference.json``.
            overlays: configs laid over it.
        """
        shapes = [self.shapes[member.name] for member in members if member.name in self.shapes]
        if not shapes:
            shapes = list(self.shapes.values())
        num_slides = sum(member.name in self.shapes or self.is_to_come(member) for member in members)
        share = num_slides / max(len(shapes), 1)  # slides that are to come are as large as these
        positions = share * self.overview.density * sum(height * width for height, width in shapes)
        num_bytes = share * sum(4 * rows * cols for rows, cols in (map_shape(shape, self.stride) for shape in shapes))
        seconds = self._seconds_per_position(values, overlays)
        return Cost(None if seconds is None else seconds * positions, num_bytes)

    def _seconds_per_position(self, values: dict[str, Any], overlays: Sequence[str]) -> float | None:
        key = repr((sorted(values.items()), list(overlays)))
        if key not in self._speeds:
            weights = self.layout.weights()  # untrained ones take as long
            given = {name: value for name, value in values.items() if name != "backend"}
            given["weights"] = str(weights) if weights.is_file() else "$None"  # None itself means the config's own
            with quiet():
                found = (measure_speed(path, self.backend, None, given, overlays) for path in self.sample)
                speed = next((speed for speed in found if speed is not None), None)
            self._speeds[key] = None if speed is None else speed.seconds
        return self._speeds[key]

    @cached_property
    def _speeds(self) -> dict[str, float | None]:
        return {}

    def training(self, num_regions: int, values: dict[str, Any], overlays: Sequence[str], epochs: int) -> Cost:
        """A training.

        Args:
            num_regions: that it sees in an epoch.
            values: for ids of ``train.json``.
            overlays: configs laid over it.
            epochs: how many.
        """
        key = repr((sorted(values.items()), list(overlays)))
        if key not in self._regions:
            with quiet():
                path = next(iter(self.sample), None)
                self._regions[key] = None if path is None else measure_region(path, self.backend, values, overlays)
        seconds = self._regions[key]
        size = (self.layout.shipped().stat().st_size) * 8  # float32 where the shipped file is float16; with last.pt
        return Cost(None if seconds is None else seconds * num_regions * epochs, size)

    @cached_property
    def _regions(self) -> dict[str, float | None]:
        return {}


def _see(path: Path, backend: str, stride: int) -> Seen:
    with open_slide(path, backend) as slide:
        mask, _ = slide_foreground(slide, stride)
        return Seen(path, slide.shape, slide.mpp or MODEL_MPP, mask)
