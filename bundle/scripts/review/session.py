"""One review: what the browser asks for, made of maps, slides and truth. Numbers in, bytes and plain values out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..annotations.polygons import Polygon
from ..annotations.verdicts import Mark
from ..errors import InputError
from ..geometry import map_shape
from ..maps.artifacts import read_map_artifacts
from ..maps.files import MapInfo, read_map
from ..maps.findings import FindingSettings, find_lesions
from ..scoring.settings import ScoreSettings
from .caches import Cache
from .cohort import ReviewSlide, truth_of, truth_outlines
from .judging import Judging, found_marks
from .layers import MAP_TILE_SIDE, map_pyramid, map_tile
from .queue import QueueSettings, make_queue, read_other_maps
from .reading import SlideReaders, size_and_time
from .tiles import (
    TILE_SIDE,
    coarsest_downsample,
    cut_overview,
    encode_jpeg,
    locate_tile,
    overview_stride,
    shrink,
)
from .worklist import by_suspicion, worklist_row

_PIXELS_KEPT = 6
"""Overviews, maps and findings that are kept, of the slides looked at last: some 20 MB each."""

_THUMBNAILS_KEPT = 2000  # 8 kB each


class _View(NamedTuple):
    """What is kept of a slide that is looked at."""

    info: MapInfo
    marks: list[Mark]
    levels: list[npt.NDArray[np.uint8]]
    truth: tuple[Polygon, ...]


class Session:
    """The slides of a review, and what was made of them last.

    Threads may share it. Memory is bounded: few slides are open, and what `_PIXELS_KEPT` of them need is kept.

    Args:
        cohort: of `cohort.read_cohort`.
        judging: its verdicts.
        scoring: how detections were found.
        asking: what is asked first.

    Attributes:
        readers: read the slides; this process opens none.
    """

    def __init__(
        self,
        cohort: Sequence[ReviewSlide],
        judging: Judging,
        scoring: ScoreSettings,
        asking: QueueSettings,
    ) -> None:
        self.cohort = cohort
        self.judging = judging
        self.scoring = scoring
        self.others = {} if asking.against is None else read_other_maps(cohort, asking.against, scoring)
        self._queue = make_queue(cohort, asking, self.others)
        self.readers = SlideReaders()
        threading.Thread(target=self.readers.warm, daemon=True, name="first reader").start()
        self._overviews = Cache(self._read_overview, _PIXELS_KEPT)
        self._views = Cache(self._read_view, _PIXELS_KEPT)
        self._thumbnails = Cache(self._make_thumbnail, _THUMBNAILS_KEPT)

    def slide(self, number: int) -> ReviewSlide:
        """A slide by its number.

        Raises:
            InputError: if there is none.
        """
        if not 0 <= number < len(self.cohort):
            raise InputError(f"no slide {number} in this review of {len(self.cohort)}; reload the page")
        return self.cohort[number]

    def version(self, number: int) -> str:
        """Changes with the slide's file and its map, so that a browser keeps no tile of another."""
        slide = self.slide(number)
        paths = [slide.info.path] if slide.path is None else [slide.info.path, slide.path]
        stated = [(str(path), *size_and_time(path)) for path in paths]
        return hashlib.sha256(repr(stated).encode()).hexdigest()[:16]

    def tile(self, number: int, downsample: int, row: int, col: int) -> bytes:
        """A tile of the slide as JPEG, see `tiles`.

        Raises:
            InputError: if there is no such tile, or the slide cannot be read.
        """
        slide = self.slide(number)
        tile = locate_tile(slide.info.slide_shape, downsample, row, col)
        stride = overview_stride(slide.info.slide_shape)
        if downsample >= stride:
            return encode_jpeg(cut_overview(self._overviews.get(number), stride, tile))
        return self.readers.tile(tile, *_readable(slide))

    def map_tile(self, number: int, halvings: int, row: int, col: int, above: float) -> bytes:
        """A tile of the map as PNG, see `layers.map_tile`."""
        return map_tile(self._views.get(number).levels, halvings, row, col, above)

    def thumbnail(self, number: int) -> bytes:
        """The slide in small, as JPEG."""
        return self._thumbnails.get(number)

    def describe(self, number: int) -> dict[str, Any]:
        """What the page needs of a slide; coordinates are (x, y) in level-0 pixels.

        Raises:
            InputError: if its map, its truth or its file of verdicts is damaged.
        """
        slide, view = self.slide(number), self._views.get(number)
        info = view.info
        height, width = info.slide_shape
        self.judging.begin(number, info, view.marks)
        return {
            "number": number,
            "name": info.name,
            "file": info.slide,
            "version": self.version(number),
            "width": width,
            "height": height,
            "mpp": info.mpp,
            "tile_side": TILE_SIDE,
            "coarsest": coarsest_downsample(info.slide_shape),
            "map": {
                "stride": info.stride,
                "tile_side": MAP_TILE_SIDE,
                "shape": map_shape(info.slide_shape, info.stride),
            },
            "fault": self.fault(number),
            "notes": info.notes,
            "truth": None if slide.truth is None else [ring for part in view.truth for ring in rings_xy(part)],
            **self.judging.state(number),
        }

    def worklist(self) -> list[dict[str, Any]]:
        """The slides as the page lists them, the most suspicious first, see `worklist`."""
        rows = []
        for slide in self.cohort:
            other = self.others.get(slide.number)
            num_detections = slide.detections.prob.size + (0 if other is None else other.detections.prob.size)
            counts = self.judging.counts(slide.number)
            rows.append(worklist_row(slide, self.version(slide.number), int(num_detections), counts))
        return by_suspicion(rows)

    def queue(self) -> list[dict[str, Any]] | None:
        """The detections in the order in which they are asked about; None where it is slide by slide.

        Returns:
            For each the ``number`` and ``name`` of its slide, ``x``, ``y`` (level 0), and whether it ``is_judged``.
        """
        if self._queue is None:
            return None
        judged = {slide.number: self.judging.judged_points(slide.number) for slide in self.cohort}
        return [
            {
                "number": number,
                "name": self.cohort[number].info.name,
                "x": x,
                "y": y,
                "is_judged": (x, y) in judged[number],
            }
            for number, x, y in self._queue
        ]

    def fault(self, number: int) -> str:
        """Why a slide has no pixels to show; empty if it has."""
        try:
            self.readers.bounds(*_readable(self.slide(number)))
        except InputError as error:
            return str(error)
        return ""

    def _read_view(self, number: int) -> _View:
        slide = self.slide(number)
        info = slide.info
        with suppress(InputError):  # `fault` says why it cannot be opened
            top, left, bottom, right = self.readers.bounds(*_readable(slide))
            info = info._replace(bounds_origin=(top, left), bounds_shape=(bottom - top, right - left))
        prob_map = read_map(info)
        settings = FindingSettings(self.scoring.threshold, self.scoring.radius_um, 0.0)
        marks = found_marks(find_lesions(prob_map, info, settings, read_map_artifacts(info)), self.others.get(number))
        truth = () if slide.truth is None else truth_outlines(truth_of(info, slide.truth, self.scoring))
        return _View(info, marks, map_pyramid(prob_map), truth)

    def _read_overview(self, number: int) -> npt.NDArray[np.uint8]:
        slide = self.slide(number)
        return self.readers.overview(overview_stride(slide.info.slide_shape), *_readable(slide))

    def _make_thumbnail(self, number: int) -> bytes:
        return encode_jpeg(shrink(self._overviews.get(number)))

    def close(self) -> None:
        """End the processes that read, and let another server write to the folder of verdicts."""
        self.readers.close()
        self.judging.folder.close()


def _readable(slide: ReviewSlide) -> tuple[Path, float, tuple[int, int]]:
    """What `reading.SlideReaders` takes for a slide."""
    if slide.path is None:
        raise InputError(f"{slide.info.slide}: not among --slides, so only its map is shown; start again with it")
    return slide.path, slide.info.mpp, slide.info.slide_shape


def rings_xy(polygon: Polygon) -> list[list[list[float]]]:
    """The rings of a polygon as lists of [x, y]."""
    return [ring[:, ::-1].tolist() for ring in polygon.rings]
