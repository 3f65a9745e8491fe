"""Inference reads a slide as tiles: large blocks of pixels that hold many overlapping patches.

The sampler, in the main process, says which tiles (see `tile_sampler`); the dataset, in other processes, opens the
slides, finds their foreground and reads the pixels (see `tile_loader`). What goes wrong with a slide travels as a
tile that says so, and the other slides go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from ..errors import InputError
from ..folders.names import is_url
from ..folders.slide_table import SlideTable
from ..geometry import PATCH_SIZE, check_mpp, map_to_level0
from ..masks.foreground import ForegroundSettings
from ..network.modes import check_mode, resolve_mode
from ..network.purpose import read_purpose
from ..quality.appearance import appearance_notes
from ..quality.classes import parse_classes
from ..quality.examination import slide_appearance
from ..quality.files import check_artifacts_name
from ..slides.cells import CellReader, Part, kept_cells
from ..slides.cucim_backend import import_cucim
from ..slides.enlargement import check_enlargement, check_limit
from ..slides.pool import SlidePool
from ..slides.resampling import Region
from ..slides.slide import MODEL_MPP, Slide
from ..storage.remote import list_slides
from ..storage.staging import SlideCache
from .fitness import with_notes
from .foregrounds import Foreground, compute_foreground, read_foreground
from .screening import ScreenSettings, coarsen
from .tile_plan import NO_POSITIONS, SlidePlan, Tile, make_sample, position_offsets, tile_blocks


def slide_datalist(slides: str | Path | Sequence[str | Path]) -> list[dict[str, Any]]:
    """Slides to run inference on.

    Args:
        slides: slides, folders of slides or tables of slides (`folders.slide_table`); paths or addresses.

    Returns:
        One ``{"image": path}`` a slide, sorted by name; with ``mpp`` where a table states it.

    Raises:
        InputError: see `storage.remote.list_slides`.
    """
    table = SlideTable(slides)
    return [table.sample(path) for path in list_slides(slides)]


class TileDataset(Dataset[dict[str, Any]]):
    """Reads the pixels of tiles. It is indexed by `Tile`, which `TileSampler` provides.

    Args:
        data: dicts with the slide's path under ``image``, and under ``mpp`` the µm per level-0 pixel that count for it
            in place of ``assume_mpp``, if it is there.
        stride: level-0 pixels per map pixel, a positive integer.
        mpp: the model's µm per pixel.
        patch_size: side of the patch that the network sees.
        foreground_dir: folder of masks ``<stem>.png`` made for this stride; None computes them.
        foreground: how tissue is told from background where masks are computed.
        tile_size: longest side of a tile in pixels that the model sees.
        backend: see `slides.slide.open_slide`.
        assume_mpp: see `slides.slide.open_slide`.
        max_enlargement: how many times coarser than the model a slide may be, from 1 on.
        mode: see `network.modes.resolve_mode`; a slide for which it is not possible cannot be planned.
        num_workers: how many processes read, which take the tiles in turns; one decodes each compressed tile once.
        cache_dir: see `storage.staging.SlideCache`.
        cache_gb: see `storage.staging.SlideCache`.
        skip_artifacts: classes of artifacts that are left out, see `quality.classes.parse_classes`.
        weights: the network's file of weights, whose sidecar may say what slides looked like in training.
        screen: how slides are screened first; None looks at all of their foreground at once.

    Raises:
        InputError: if a setting is not as described, or the folder of masks is missing, or the weights' sidecar is
            damaged.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        stride: int = 64,
        mpp: float = MODEL_MPP,
        patch_size: int = PATCH_SIZE,
        foreground_dir: str | Path | None = None,
        foreground: ForegroundSettings | None = None,
        tile_size: int = 2048,
        backend: str = "auto",
        assume_mpp: float | None = None,
        max_enlargement: float = 3.0,
        mode: str = "auto",
        num_workers: int = 1,
        cache_dir: str | Path | None = None,
        cache_gb: float = 100.0,
        skip_artifacts: str | Sequence[str] | None = None,
        weights: str | Path | None = None,
        screen: ScreenSettings | None = None,
    ) -> None:
        if not isinstance(stride, int) or isinstance(stride, bool) or stride < 1:
            raise InputError(f"stride must be a positive integer of level-0 pixels, but got {stride!r}")
        if not isinstance(num_workers, int) or isinstance(num_workers, bool) or num_workers < 0:
            raise InputError(f"num_workers must be an integer from 0 on, but got {num_workers!r}")
        if foreground_dir is not None and not Path(foreground_dir).is_dir():
            raise InputError(f"foreground_dir {foreground_dir}: no such folder of masks")
        self.data = list(data)
        self._mpps: dict[str, float] = {}
        self.take_mpps(self.data)
        self.stride = stride
        self.mpp = check_mpp("mpp", mpp)
        self.patch_size = patch_size
        self.foreground_dir = foreground_dir
        self.foreground = foreground or ForegroundSettings()
        self.foreground.check()
        self.skip_artifacts = parse_classes(skip_artifacts)
        purpose = None if weights is None else read_purpose(weights)
        self.trained_on_looks = None if purpose is None else purpose.appearance
        self.tile_size = tile_size
        self.max_enlargement = check_limit(max_enlargement)
        self.mode = check_mode(mode)
        self.screen = screen
        self.num_readers = max(1, num_workers)
        self.slides = SlidePool(backend, assume_mpp, max_open=2)
        self.cache = SlideCache(cache_dir, cache_gb)
        self._reader: CellReader | None = None
        self._num_planned = 0

    def prepare(self) -> None:
        """Import cuCIM before a slide is asked for: in each process that opens slides, and does nothing else."""
        if self.slides.backend != "openslide":
            with suppress(Exception):  # raised again where a slide is opened
                import_cucim(with_cupy=False)

    def prepare_to_plan(self) -> None:
        """Import what it takes to plan a slide, which is half of that time: in a process that plans, before it does."""
        for name in ("scipy.ndimage", "skimage.color.colorconv", "skimage.filters.thresholding"):
            import_module(name)

    def take_mpps(self, data: Sequence[dict[str, Any]]) -> None:
        """Note the resolutions that samples of slides state."""
        self._mpps |= {sample["image"]: sample["mpp"] for sample in data if "mpp" in sample}

    def assumed_mpp(self, path: str) -> float | None:
        """µm per level-0 pixel of a slide over what its file says; None where that counts."""
        return self._mpps.get(path, self.slides.assume_mpp)

    def __getitem__(self, tile: Tile) -> dict[str, Any]:
        """Read a tile.

        Returns:
            ``{"image": (1, 3, h, w) uint8 tensor, "tile": Tile}``, channels last in memory. A tile that cannot be read
            comes back with its error and without positions.
        """
        if tile.plan is None or not tile.positions.any():
            return make_sample(tile, None)
        try:
            return make_sample(tile, torch.from_numpy(np.require(self.read(tile), requirements=["C", "W"])))
        except InputError as error:
            return make_sample(tile._replace(positions=NO_POSITIONS, error=str(error)), None)

    def tiles(self, path: str, planned: Callable[[], list[Tile]] | None = None) -> Iterator[Tile]:
        """The tiles of one slide; a slide that cannot be planned yields a single tile with the error.

        Args:
            path: the slide.
            planned: waits for its tiles, which another process plans; `plan` if not given.
        """
        try:
            tiles = self.plan(path, self.fetch(path), self._num_planned) if planned is None else planned()
        except InputError as error:
            yield Tile(path, None, (0, 0), NO_POSITIONS, str(error))
            return
        for tile in tiles:
            self._num_planned += 1
            yield tile

    def fetch(self, path: str) -> str | None:
        """The file that is read in place of an address, copied if need be; None of a slide that is a file itself.

        Raises:
            InputError: see `storage.staging.SlideCache.fetch`.
        """
        return str(self.cache.fetch(path)) if is_url(path) else None

    def plan(self, path: str, copy: str | None, first_tile: int) -> list[Tile]:
        """Open a slide, find its foreground, and cover it with tiles.

        Args:
            path: the slide.
            copy: the file that is read where ``path`` is an address.
            first_tile: how many tiles of other slides came before, which says which process reads the first.

        Returns:
            Its tiles, at least one.

        Raises:
            InputError: if the slide cannot be read, or not with these settings.
        """
        slide = self.slides.get(copy or path, self.assumed_mpp(path))
        check_enlargement(path, slide.require_mpp(), self.mpp, self.max_enlargement)
        check_artifacts_name(path)
        found = self._foreground(slide)
        mask = found.mask
        downsample = slide.model_downsample(self.mpp)
        self._check_stride(path, downsample)
        plan = SlidePlan(
            path=path,
            shape=slide.shape,
            mpp=slide.require_mpp(),
            stride=self.stride,
            downsample=downsample,
            map_shape=mask.shape,
            mask=found.source,
            backend=slide.backend,
            num_positions=int(mask.sum()),
            num_tiles=0,
            copy=copy,
            bounds=slide.bounds,
            cucim_fault=slide.cucim_fault,
            artifacts=found.artifacts,
            quality=found.quality,
            appearance=self._appearance(slide, mask),
            patch_size=self.patch_size,
        )
        notes = [*found.notes, *appearance_notes(plan.appearance, self.trained_on_looks)]
        plan = with_notes(plan, self.mpp, self.patch_size, found.why_empty, notes)
        if self.screen is None:
            return self._cover(slide, plan, mask, first_tile)
        factor, downsample = self.screen.grid(self.stride, downsample)
        screened = coarsen(mask, factor)
        plan = plan._replace(
            stride=factor * self.stride,
            downsample=downsample,
            map_shape=screened.shape,
            num_positions=int(screened.sum()),
            patch_size=self.screen.patch_size,
            look=plan,
        )
        return [_with_foreground(tile, mask, factor) for tile in self._cover(slide, plan, screened, first_tile)]

    def plan_look(self, plan: SlidePlan, chosen: npt.NDArray[np.bool_], first_tile: int) -> list[Tile]:
        """Cover the positions of a slide that its screen passed on with tiles.

        Args:
            plan: of the slide's map.
            chosen: (rows, cols) bool.
            first_tile: see `plan`.

        Returns:
            Its tiles, at least one, whose plan counts these positions.

        Raises:
            InputError: if the slide can no longer be read.
        """
        slide = self.slides.get(plan.copy or plan.path, plan.mpp)
        return self._cover(slide, plan._replace(num_positions=int(chosen.sum())), chosen, first_tile)

    def read(self, tile: Tile) -> npt.NDArray[np.uint8]:
        """Read the pixels of a tile that has a plan and positions.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            InputError: if they cannot be read.
        """
        plan = tile.plan
        if plan is None:
            raise AssertionError("a tile without a plan has no pixels")
        slide = self.slides.get(plan.copy or plan.path, plan.mpp)
        if self._reader is None or self._reader.slide is not slide:
            self._reader = CellReader(slide)
        region = self._region(slide, plan, tile.map_location, tile.positions.shape)
        part = Part(region.level, region.location, region.size)
        return region.resample(self._reader.read(part, tile.keep))

    def _cover(self, slide: Slide, plan: SlidePlan, mask: npt.NDArray[np.bool_], first_tile: int) -> list[Tile]:
        distance = plan.stride / plan.downsample
        block = max(1, int((self.tile_size - plan.patch_size) / distance) + 1)
        blocks = list(tile_blocks(mask, block, plan.patch_size / distance))
        if not blocks:
            return [Tile(plan.path, plan._replace(num_tiles=1), (0, 0), NO_POSITIONS)]
        plan = plan._replace(num_tiles=len(blocks))
        regions = [self._region(slide, plan, map_location, positions.shape) for map_location, positions in blocks]
        parts = [Part(region.level, region.location, region.size) for region in regions]
        level = parts[0].level
        shapes = slide.cell_shapes[level], slide.level_shapes[level]
        kept = kept_cells(parts, *shapes, first_tile, self.num_readers)
        return [Tile(plan.path, plan, *block, keep=keep) for block, keep in zip(blocks, kept, strict=True)]

    def _check_stride(self, path: str, downsample: float) -> None:
        try:
            resolve_mode(self.mode, self.stride, downsample)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def _appearance(self, slide: Slide, mask: npt.NDArray[np.bool_]) -> dict[str, float | None] | None:
        try:
            return slide_appearance(slide, mask, self.stride, self.mpp)
        except InputError:  # of a damaged part: the tile that holds it will say so
            return None

    def _foreground(self, slide: Slide) -> Foreground:
        if self.foreground_dir is None:
            return compute_foreground(slide, self.stride, self.foreground, self.skip_artifacts)
        return read_foreground(slide, self.stride, self.foreground_dir, self.skip_artifacts)

    def _region(self, slide: Slide, plan: SlidePlan, map_location: tuple[int, int], shape: tuple[int, ...]) -> Region:
        height, width = (
            int(position_offsets(count, plan.stride, plan.downsample)[-1]) + plan.patch_size for count in shape
        )
        top, left = map_to_level0(map_location, plan.stride) - plan.patch_size * plan.downsample / 2
        return slide.locate_region((float(top), float(left)), (height, width), plan.downsample)


def _with_foreground(tile: Tile, mask: npt.NDArray[np.bool_], factor: int) -> Tile:
    """A tile of the screen with the part of the map's foreground under it."""
    top, left = (factor * corner for corner in tile.map_location)
    rows, cols = (factor * side for side in tile.positions.shape)
    return tile._replace(foreground=mask[top : top + rows, left : left + cols])
