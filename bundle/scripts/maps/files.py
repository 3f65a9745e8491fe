"""Probability maps as files: ``<slide stem>.npy`` and the sidecar ``<slide stem>.json`` that says what it covers.

Maps of other programs may be pictures instead, see `pictures`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..files import read_json, read_npy
from ..folders.names import compose, slide_name
from ..geometry import MAX_PATCH_SIZE, check_mpp, map_shape
from ..slides.reader_process import ReaderProcess
from .pictures import find_pictures, read_picture, read_value_of_one


class Patch(NamedTuple):
    """The piece of a slide that a network sees at once.

    Attributes:
        mpp: µm per pixel.
        size: its side in such pixels.
    """

    mpp: float
    size: int

    def __str__(self) -> str:
        """In words: ``224 px at 0.243 µm per pixel``."""
        return f"{self.size} px at {self.mpp:g} µm per pixel"


class MapInfo(NamedTuple):
    """What the sidecar of a probability map says.

    Attributes:
        path: the map's ``.npy`` file, or the picture that it is; its stem is the slide's.
        slide: the slide's file name.
        slide_shape: (height, width) in level-0 pixels.
        stride: level-0 pixels per map pixel.
        mpp: µm per level-0 pixel.
        has_tissue: false if no tissue was found, so that nothing was computed.
        notes: what people must know of the slide, a sentence each.
        patch: what the network saw of the slide, or None if that is not told.
        bounds_origin: (row, col) of the part of the slide that was scanned, at which QuPath's coordinates begin.
        bounds_shape: (height, width) of that part in level-0 pixels, or None if that is not told.
        value_of_one: of a picture the gray value that is probability 1, else None.
    """

    path: Path
    slide: str
    slide_shape: tuple[int, int]
    stride: int
    mpp: float
    has_tissue: bool = True
    notes: tuple[str, ...] = ()
    patch: Patch | None = None
    bounds_origin: tuple[int, int] = (0, 0)
    value_of_one: float | None = None
    bounds_shape: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The slide's name."""
        return slide_name(self.path)

    @property
    def bounds(self) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right) of the part that was scanned, level-0 frame, or None if that is not told."""
        if self.bounds_shape is None:
            return None
        (top, left), (height, width) = self.bounds_origin, self.bounds_shape
        return top, left, top + height, left + width


def read_map_infos(maps: str | Path) -> list[MapInfo]:
    """Read the sidecars of all maps of a folder; other JSON files are passed over.

    Args:
        maps: folder of ``.npy`` files, or pictures, with sidecars.

    Returns:
        One for each map, by name.

    Raises:
        InputError: if the folder is missing or empty, or a sidecar is missing or wrong.
    """
    return [read_map_info(path) for path in find_maps(maps)]


def find_maps(maps: str | Path) -> list[Path]:
    """The maps of a folder, by name; pictures are maps if their sidecars say so, see `pictures`.

    Raises:
        InputError: if the folder is missing or empty, or a slide has two maps.
    """
    folder = Path(maps)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of probability maps")
    arrays = [path for path in folder.glob("*.npy") if not path.name.startswith(".")]
    paths = sorted([*arrays, *find_pictures(folder)])
    if not paths:
        raise InputError(f"{folder}: no probability maps (*.npy) found; make them with 'tumor-detection infer'")
    for first, second in pairwise(paths):
        if first.stem == second.stem:
            raise InputError(f"{first} and {second} are two maps of one slide; keep one")
    return paths


def holds_maps(folder: str | Path) -> bool:
    """Whether a folder holds a map."""
    folder = Path(folder)
    return folder.is_dir() and (any(folder.glob("*.npy")) or bool(find_pictures(folder)))


def read_map_info(path: Path) -> MapInfo:
    """Read the sidecar of a map.

    Raises:
        InputError: if it is missing or wrong.
    """
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise InputError(f"{path}: expected its sidecar {sidecar.name} beside it, found none; run inference again")
    content = read_json(sidecar)
    if not isinstance(content, dict):
        raise InputError(f"{sidecar}: expected an object with slide, shape, stride and mpp; run inference again")
    shape, stride, mpp = content.get("shape"), content.get("stride"), content.get("mpp")
    if not (isinstance(shape, list) and len(shape) == 2 and all(_is_count(side) for side in shape)):
        raise InputError(f"{sidecar}: shape: expected [height, width] in level-0 pixels, found {shape}; mend it")
    if not _is_count(stride):
        raise InputError(f"{sidecar}: stride: expected a positive integer of level-0 pixels, found {stride}; mend it")
    if isinstance(mpp, bool) or not isinstance(mpp, (int, float)) or not (math.isfinite(mpp) and mpp > 0):
        raise InputError(f"{sidecar}: mpp: expected µm per level-0 pixel, found {mpp}; add the slide's resolution")
    slide = content.get("slide")
    if (
        not isinstance(slide, str)
        or Path(slide).name != slide
        or slide_name(path) not in (compose(slide), slide_name(slide))
    ):
        raise InputError(
            f"{sidecar}: slide: expected a file named {path.stem!r} like the map, found {slide!r}; mend it"
        )
    origin = content.get("bounds_origin", [0, 0])  # maps of other programs and of earlier versions do not say
    if not (isinstance(origin, list) and len(origin) == 2 and all(type(side) is int for side in origin)):
        raise InputError(f"{sidecar}: bounds_origin: expected [row, col] in level-0 pixels, found {origin}; mend it")
    part = content.get("bounds_shape")
    if part is not None and not (isinstance(part, list) and len(part) == 2 and all(map(_is_count, part))):
        raise InputError(f"{sidecar}: bounds_shape: expected [height, width] in level-0 pixels, found {part}; mend it")
    notes = content.get("notes", [])
    if not (isinstance(notes, list) and all(isinstance(note, str) for note in notes)):
        raise InputError(f"{sidecar}: notes: expected a list of sentences, found {notes!r:.60}; run inference again")
    has_tissue = content.get("num_positions") != 0
    return MapInfo(
        *(path, slide, (shape[0], shape[1]), stride, float(mpp), has_tissue, tuple(notes)),
        patch=_patch(sidecar, content),
        bounds_origin=(origin[0], origin[1]),
        value_of_one=None if path.suffix == ".npy" else read_value_of_one(sidecar, content),
        bounds_shape=None if part is None else (part[0], part[1]),
    )


def _patch(sidecar: Path, content: dict[str, Any]) -> Patch | None:
    """What the network saw; maps of other programs do not tell."""
    mpp, size = content.get("model_mpp"), content.get("patch_size")
    if mpp is None or size is None:
        return None
    if not (_is_count(size) and size <= MAX_PATCH_SIZE):
        raise InputError(f"{sidecar}: patch_size: expected pixels up to {MAX_PATCH_SIZE}, found {size!r:.40}; mend it")
    try:
        return Patch(check_mpp("model_mpp", mpp), size)
    except InputError as error:
        raise InputError(f"{sidecar}: {error}; mend it") from error


def with_bounds(info: MapInfo, slide: Path | None) -> MapInfo:
    """The sidecar with the scanned part as the slide states it.

    Args:
        info: the sidecar.
        slide: its slide, or None where it is not given.

    Raises:
        InputError: if the slide cannot be opened, or ends the process that tries.
    """
    if slide is None:
        return info
    with ReaderProcess() as reader:
        top, left, bottom, right = reader.ask(str(slide), _read_bounds, slide)
    return info._replace(bounds_origin=(top, left), bounds_shape=(bottom - top, right - left))


def _read_bounds(slide: Path) -> tuple[int, int, int, int]:
    from ..slides.slide import open_slide  # OpenSlide is needed only here

    with open_slide(slide, backend="openslide") as opened:
        return opened.bounds


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def read_map(info: MapInfo) -> npt.NDArray[np.floating[Any]]:
    """Read a probability map.

    Args:
        info: its sidecar.

    Returns:
        (rows, cols) floating, [row, col], values in [0, 1]; in C order and the machine's byte order, however the file
        has them.

    Raises:
        InputError: if it is damaged, has another shape than its sidecar says, or other values.
    """
    expected = map_shape(info.slide_shape, info.stride)
    if info.value_of_one is not None:
        return read_picture(info.path, expected, info.value_of_one)
    prob_map = read_npy(info.path)
    if prob_map.shape != expected:
        raise InputError(
            f"{info.path}: expected shape {expected} for a slide of {info.slide_shape[0]} x {info.slide_shape[1]} at "
            f"stride {info.stride} (from its sidecar), found {prob_map.shape}; run inference again"
        )
    if not np.issubdtype(prob_map.dtype, np.floating):
        raise InputError(f"{info.path}: expected float32 probabilities, found {prob_map.dtype}; run inference again")
    prob_map = np.array(prob_map, dtype=prob_map.dtype.newbyteorder("="), order="C")
    low, high = float(prob_map.min()), float(prob_map.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"{info.path}: expected probabilities in [0, 1], found {low:g} to {high:g}; check the weights and run again"
        )
    return prob_map
