"""Files of a folder by the names of slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .dicom import one_path_for_each
from .names import compose, name_key, slide_name
from .search import files_below


class NameIndex:
    """Files of a folder, found by name: the exact one, else the only one that differs in case.

    CAMELYON16's slides were published both as ``Tumor_001.tif`` and as ``tumor_001.tif``, and NCRF's lists
    write ``Tumor_001``. Unicode's forms make no difference, see `names.compose`.

    Args:
        folder: searched as `search.files_below` does.
        suffixes: lower-case file suffixes that count.
        kind: what the files are, for messages.

    Raises:
        InputError: if the folder is missing.
    """

    def __init__(self, folder: str | Path, suffixes: Sequence[str], kind: str) -> None:
        self.folder = Path(folder)
        self.kind = kind
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: no such folder; expected a folder of {kind}s")
        self._by_key: dict[str, list[Path]] = {}
        for path in one_path_for_each(files_below(self.folder, suffixes)):
            self._by_key.setdefault(name_key(slide_name(path)), []).append(path)

    def __len__(self) -> int:
        return sum(len(paths) for paths in self._by_key.values())

    def keys(self) -> list[str]:
        """The names that there are, see `names.name_key`."""
        return list(self._by_key)

    def get(self, name: str) -> Path | None:
        """The file of this name, or None.

        Raises:
            InputError: if several files have it.
        """
        alike = self._by_key.get(name_key(name), [])
        paths = [path for path in alike if slide_name(path) == compose(name)] or alike
        if len(paths) > 1:
            raise InputError(
                f"{self.folder}: {len(paths)} {self.kind}s are named {name!r} ({', '.join(map(str, paths))}); keep one"
            )
        return paths[0] if paths else None

    def __getitem__(self, name: str) -> Path:
        path = self.get(name)
        if path is None:
            raise InputError(f"{self.folder}: no {self.kind} named {name!r} anywhere below; add it or mend the name")
        return path
