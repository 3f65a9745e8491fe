"""Labelled patch pictures as training data: PatchCamelyon and CAMELYON16 patches cut at 40x."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from .errors import InputError

_LABELS = {"0": 0.0, "1": 1.0}
_PICTURES = (".jpg", ".jpeg", ".png", ".tif")


def patch_datalist(
    folders: str | Path | Sequence[str | Path] = (),
    tables: str | Path | Sequence[str | Path] = (),
    limit: int | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Patch pictures and their labels.

    Args:
        folders: folders with a subfolder ``0`` of normal and ``1`` of tumor patches (PatchCamelyon).
        tables: CSV files with the columns ``file`` and ``label``, beside their pictures.
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
        pictures = [(path, name) for name in "01" for path in sorted((folder / name).glob("*"))]
        found += [{"image": str(path), "label": float(name)} for path, name in pictures if path.suffix in _PICTURES]
    for table in map(Path, tables):
        try:
            with open(table, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            found += [{"image": str(table.parent / row["file"]), "label": _LABELS[row["label"]]} for row in rows]
        except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(
                f"{table}: expected a CSV with the columns file and label, 0 or 1 ({error!r}); mend it"
            ) from error
    if not found:
        raise InputError(f"{[*map(str, folders), *map(str, tables)]}: no labelled pictures; see docs/data.md")
    if limit is not None and limit < len(found):
        chosen = np.random.default_rng(seed).permutation(len(found))[:limit]
        found = [found[index] for index in chosen]
    return found


class PatchImageDataset(Dataset[Any]):
    """Patch pictures at the model's resolution.

    PatchCamelyon's 96 px at about 0.972 µm are brought to the model's 0.243 µm by enlarging the central part four
    times (bicubic), which is also the part that its label describes.

    Args:
        data: see `patch_datalist`.
        size: side of the result in pixels, at the model's resolution.
        coarse_factor: how many times coarser than the model's resolution a picture of at most ``coarse_size`` px is.
        coarse_size: see ``coarse_factor``.
        transform: applied to ``{"image": (3, size, size) uint8, "label": (1, 1, 1) float32}``.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        size: int = 256,
        coarse_factor: int = 4,
        coarse_size: int = 96,
        transform: Any = None,
    ) -> None:
        self.data = data
        self.size = size
        self.coarse_factor = coarse_factor
        self.coarse_size = coarse_size
        self.transform = transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        """Read one patch.

        Raises:
            InputError: if its file cannot be read or is too small.
        """
        sample = self.data[index]
        try:
            with Image.open(sample["image"]) as picture:
                patch = picture.convert("RGB")
        except OSError as error:
            raise InputError(f"{sample['image']}: not a readable picture ({error})") from error
        factor = self.coarse_factor if max(patch.size) <= self.coarse_size else 1
        side = self.size / factor
        if min(patch.size) < side:
            raise InputError(f"{sample['image']}: a patch must have at least {side:g} px a side, but has {patch.size}")
        left, top = ((length - side) / 2 for length in patch.size)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(patch.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box))
        output = {
            "image": torch.from_numpy(pixels.transpose(2, 0, 1).copy()),
            "label": torch.full((1, 1, 1), sample["label"], dtype=torch.float32),
        }
        return self.transform(output) if self.transform else output
