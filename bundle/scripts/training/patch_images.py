"""Labelled patch pictures as training data: PatchCamelyon and CAMELYON16 patches cut at 40x."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from ..errors import InputError
from ..files import check_is_file, read_rows
from ..network.processors import count_processors

_LABELS = {"0": 0.0, "1": 1.0}
MAX_PICTURE_PIXELS = 1 << 24
"""No larger picture is decoded: 4096 x 4096."""

_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def patch_datalist(
    folders: str | Path | Sequence[str | Path] = (),
    tables: str | Path | Sequence[str | Path] = (),
    table_repeats: int = 1,
    limit: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Patch pictures and their labels.

    Args:
        folders: folders with a subfolder ``0`` of normal and ``1`` of tumor patches (PatchCamelyon).
        tables: CSV files with the columns ``file`` and ``label``, beside their pictures.
        table_repeats: how often each line of the tables is listed, so that few patches weigh more.
        limit: take a random choice of this many.
        seed: makes the choice reproducible.

    Returns:
        Dicts of ``image`` (path) and ``label`` (0.0 or 1.0).

    Raises:
        InputError: if a folder or table is missing or holds no labelled pictures.
    """
    folders, tables = ([paths] if isinstance(paths, (str, Path)) else paths for paths in (folders, tables))
    found: list[dict[str, Any]] = []
    for folder in map(Path, folders):
        files = [(path, name) for name in _LABELS for path in sorted((folder / name).glob("*"))]
        pictures = [(str(path), _LABELS[name]) for path, name in files if path.suffix.lower() in _PICTURES]
        if not pictures:
            raise InputError(f"{folder}: no pictures in subfolders 0 and 1; see docs/data.md")
        found += [{"image": path, "label": label} for path, label in pictures]
    for table in map(Path, tables):
        found += _listed(table) * table_repeats
    if not found:
        raise InputError("no labelled pictures: no folder and no table is given; see docs/data.md")
    if limit is not None and limit < len(found):
        chosen = np.random.default_rng(seed).permutation(len(found))[:limit]
        found = [found[index] for index in chosen]
    return found


def _listed(table: Path) -> list[dict[str, Any]]:
    """The pictures of a table, and their labels."""
    form = "a CSV with the columns file and label, 0 or 1"
    rows = [cells for _, cells in read_rows(table, form)]
    header = rows[0] if rows else []
    try:
        cells = [dict(zip(header, row, strict=True)) for row in rows[1:]]
        listed = [{"image": _beside(table, row["file"]), "label": _LABELS[row["label"]]} for row in cells]
    except (KeyError, ValueError) as error:
        raise InputError(f"{table}: expected {form} ({error!r}); mend it") from error
    if not listed:
        raise InputError(f"{table}: no pictures below its header; see docs/data.md")
    return listed


def _beside(table: Path, file: str) -> str:
    """A picture that a table names, which lies beside the table or below."""
    path = Path(file)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{table}: {file!r} leads out of the table's folder; name pictures beside the table or below")
    return str(table.parent / path)


def open_patch(path: str | Path) -> Image.Image:
    """Decode a patch picture.

    Returns:
        RGB, of its own size.

    Raises:
        InputError: if it is damaged, no picture, or larger than `MAX_PICTURE_PIXELS`.
    """
    check_is_file(path)
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PICTURE_PIXELS:
                raise InputError(
                    f"{path}: expected a patch of at most {MAX_PICTURE_PIXELS:,} pixels, found {picture.width} x "
                    f"{picture.height}; cut it"
                )
            return picture.convert("RGB")
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises
        raise InputError(f"{path}: not a readable picture ({error}); take it out or get it anew") from error


class PatchImageDataset(Dataset[Any]):
    """Patch pictures at the model's resolution, read one by one or a batch at a time.

    PatchCamelyon's 96 px at about 0.972 µm are brought to the model's 0.243 µm by enlarging the central part four
    times (bicubic), which is also the part that its label describes.

    Args:
        data: see `patch_datalist`.
        size: side of the result in pixels, at the model's resolution.
        coarse_factor: how many times coarser than the model's resolution a picture of at most ``coarse_size`` px is.
        coarse_size: see ``coarse_factor``.
        mirror: whether pictures smaller than ``size`` are mirrored at their edges; otherwise they are refused.
        cache: a device, such as ``cpu`` or ``cuda``, to keep all pictures on, decoded, at 3 bytes a pixel. They are
            read once, by threads; workers then only slow it down. None reads each picture when it is wanted.

    Raises:
        InputError: if ``cache`` is set and a picture cannot be read or is too small.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        size: int = 256,
        coarse_factor: int = 4,
        coarse_size: int = 96,
        mirror: bool = False,
        cache: str | torch.device | None = None,
    ) -> None:
        self.data = data
        self.size = size
        self.coarse_factor = coarse_factor
        self.coarse_size = coarse_size
        self.mirror = mirror
        self._labels = torch.tensor([sample["label"] for sample in data], dtype=torch.float32)[:, None, None, None]
        self._is_enlarged = torch.zeros(len(data), dtype=torch.bool)
        self._cached: torch.Tensor | None = None
        if cache is not None:
            pictures = torch.empty((len(data), 3, size, size), dtype=torch.uint8)
            with ThreadPoolExecutor(count_processors()) as threads:
                for index, patch in enumerate(threads.map(self._read, range(len(data)))):
                    pictures[index] = patch
            self._cached, self._labels = pictures.to(cache), self._labels.to(cache)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Read one patch.

        Returns:
            ``{"image": (3, size, size) uint8, "label": (1, 1, 1) float32, "is_enlarged": () bool}``.

        Raises:
            InputError: if its file cannot be read or is too small.
        """
        image = self._read(index) if self._cached is None else self._cached[index]
        return {"image": image, "label": self._labels[index], "is_enlarged": self._is_enlarged[index].clone()}

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """Read a batch at once, as torch's loader asks for where this exists.

        Returns:
            ``{"image": (N, 3, size, size) uint8, "label": (N, 1, 1, 1) float32, "is_enlarged": (N,) bool}``.

        Raises:
            InputError: if a file cannot be read or is too small.
        """
        if self._cached is None:
            images = torch.stack([self._read(index) for index in indices])
        else:
            images = self._cached[torch.tensor(indices, device=self._cached.device)]
        labels = self._labels[torch.tensor(indices, device=self._labels.device)]
        return {"image": images, "label": labels, "is_enlarged": self._is_enlarged[indices]}

    def _read(self, index: int) -> torch.Tensor:
        path = self.data[index]["image"]
        patch = open_patch(path)
        factor = self.coarse_factor if max(patch.size) <= self.coarse_size else 1
        self._is_enlarged[index] = factor > 1
        side = self.size / factor
        if min(patch.size) < side and self.mirror:
            pixels = np.asarray(patch)
            margins = [max(0, math.ceil((side - length) / 2)) for length in pixels.shape[:2]]
            patch = Image.fromarray(np.pad(pixels, [*((m, m) for m in margins), (0, 0)], mode="reflect"))
        if min(patch.size) < side:
            raise InputError(f"{path}: a patch must have at least {side:g} px a side, but has {patch.size}")
        left, top = ((length - side) / 2 for length in patch.size)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(patch.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box))
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
