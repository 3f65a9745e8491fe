"""Whether the file of a slide is whole: its checksum by the data set's list, its tiles, whether it opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tifffile

from ..errors import InputError
from ..files import make_output_dir, read_json, write_json
from ..slides.colors import check_color
from ..slides.slide import open_slide
from ..storage.bucket import CHECKSUM_LISTS, read_checksums
from ..storage.transfer import checksum_kind, file_checksum

_COMPARED = "compared.json"
_TIFFS = (".tif", ".tiff", ".svs")


class Checksums:
    """Compares files with the list of checksums in the data set's folder, once each.

    Args:
        root: folder of the data set.
        folder: where it is kept which files were compared.
    """

    LISTS = CHECKSUM_LISTS
    """Names of such lists."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self._compared_path = make_output_dir(folder) / _COMPARED
        content = read_json(self._compared_path) if self._compared_path.exists() else {}
        self._compared: dict[str, Any] = content if isinstance(content, dict) else {}
        self.lists = self.paths(root)
        self._expected: dict[str, str] = {}
        for path in self.lists:
            self._expected |= read_checksums(path.read_text(encoding="utf-8", errors="replace"))
        self.num_compared = 0

    @staticmethod
    def paths(root: Path) -> list[Path]:
        """The lists that are there."""
        return [path for path in (root / name for name in Checksums.LISTS) if path.is_file()]

    def check(self, path: Path) -> None:
        """Compare a file.

        Raises:
            InputError: if its checksum is another.
        """
        relative = path.relative_to(self.root).as_posix()
        expected = self._expected.get(relative)
        if expected is None:
            return
        found = path.stat()
        state = [found.st_size, found.st_mtime_ns, expected]
        if self._compared.get(relative) != state:
            actual = file_checksum(path, expected)
            if actual != expected:
                raise InputError(
                    f"{path}: damaged, its {checksum_kind(expected)} is {actual}, but {self._names()} has {expected}; "
                    "remove it and download it again"
                )
            self._compared[relative] = state
            write_json(self._compared_path, self._compared)
        self.num_compared += 1

    def summary(self) -> str:
        """What was compared, for people."""
        if not self.lists:
            return f"no {' or '.join(CHECKSUM_LISTS)} in {self.root}, so no file was compared with it"
        if not self.num_compared:
            return f"{self._names()} names none of these files, so none was compared"
        return f"{self.num_compared} compared with {self._names()}"

    def _names(self) -> str:
        return " and ".join(path.name for path in self.lists)


def check_slide(path: Path, backend: str, stride: int) -> None:
    """Open a slide and read its overview; a file that ends before its last tile is refused.

    Args:
        path: the slide.
        backend: see `slides.slide.open_slide`.
        stride: level-0 pixels per pixel of the overview.

    Raises:
        InputError: if it is damaged, is no RGB of 8 bits, or states no resolution.
    """
    _check_end(path)
    with open_slide(path, backend) as slide:
        slide.require_mpp()
        check_color(path, slide.read_overview(stride))


def _check_end(path: Path) -> None:
    if path.suffix.lower() not in _TIFFS:
        return
    size = path.stat().st_size
    try:
        with tifffile.TiffFile(path) as tiff:
            ends = [
                offset + count
                for page in tiff.pages
                if isinstance(page, tifffile.TiffPage)
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
            ]
    except Exception as error:  # tifffile raises whatever a damaged header leads to
        raise InputError(f"{path}: not readable as a TIFF file ({error}); copy it again from its source") from error
    if max(ends, default=0) > size:
        raise InputError(
            f"{path}: truncated, its tiles end at byte {max(ends)}, the file at {size}; copy it again from its source"
        )
