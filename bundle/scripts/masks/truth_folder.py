"""Where the truth of slides is found: below a folder, or in a table of slides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..annotations.annotations import ANNOTATION_SUFFIXES
from ..annotations.folder import SlideClasses
from ..errors import InputError
from ..files import read_json
from ..folders.corrections import Corrections
from ..folders.index import NameIndex
from ..folders.names import name_key
from ..folders.slide_table import SlideTable
from .files import MASK_SUFFIXES
from .thresholds import LOSSY_SUFFIXES, read_threshold


class TruthFolder:
    """The ground truth below a folder, one file per slide: ``<slide stem>`` or ``<slide stem>_mask``, in any case.

    Where a slide has a mask and an annotation, the mask counts. JSON files that are no annotations, such as the
    sidecars of masks, are passed over. A JPEG is a mask only if its sidecar states `thresholds.KEY`; others are
    pictures to look at. What the folder lacks, a table of slides may give. Corrections count over both.

    Args:
        folder: searched recursively; None leaves the table alone.
        table: what tables of slides say, or None.
        corrections: classes that count over everything else, or None.

    Attributes:
        folder: for messages; the table's file where there is no folder.

    Raises:
        InputError: if the folder is missing or holds no truth, or there is neither a folder nor a table that lists any.
    """

    def __init__(
        self, folder: str | Path | None, table: SlideTable | None = None, corrections: Corrections | None = None
    ) -> None:
        self._classes = SlideClasses(
            table, corrections, {"mask": (*MASK_SUFFIXES, *LOSSY_SUFFIXES), "annotation": ANNOTATION_SUFFIXES}
        )
        self._indices: list[NameIndex] = []
        if folder is None:
            self.folder = self._classes.source()
            return
        self.folder = Path(folder)
        kinds = ((MASK_SUFFIXES, "truth mask"), (LOSSY_SUFFIXES, "truth mask"), (ANNOTATION_SUFFIXES, "annotation"))
        self._indices = [NameIndex(folder, suffixes, kind) for suffixes, kind in kinds]
        if not any(map(len, self._indices)):
            suffixes = " ".join((*MASK_SUFFIXES, *ANNOTATION_SUFFIXES))
            raise InputError(f"{folder}: no ground truth found; expected masks or annotations ending in {suffixes}")

    def find(self, name: str) -> Path | None:
        """The truth file of a slide, or None.

        Args:
            name: the slide's stem.

        Raises:
            InputError: if several files have its name, or the table lists another kind of file.
        """
        if self._classes.is_corrected(name):
            return None
        for index in self._indices:
            for stem in (name, f"{name}_mask"):
                path = index.get(stem)
                if path is not None and _is_truth(path):
                    return path
        return self._classes.find(name)

    def is_normal(self, name: str) -> bool:
        """See `annotations.folder.SlideClasses.is_normal`."""
        return self._classes.is_normal(name)

    def names_beyond(self, names: Iterable[str]) -> list[str]:
        """Slides that have truth in the folder but are not among ``names``, by `folders.names.name_key`, sorted."""
        known = {name_key(name) for name in names}
        keys = [key for keys in map(NameIndex.keys, self._indices) for key in keys]
        stems = {key.removesuffix("_mask") for key in keys}
        return sorted(stem for stem in stems - known if self.find(stem) is not None)


def _is_truth(path: Path) -> bool:
    """Whether a file that bears a slide's name says what is tumor."""
    suffix = path.suffix.lower()
    return (
        _is_annotation(path) if suffix == ".json" else suffix not in LOSSY_SUFFIXES or read_threshold(path) is not None
    )


def _is_annotation(path: Path) -> bool:
    """Whether a JSON file has the form of NCRF's annotations or GeoJSON."""
    content = read_json(path)
    return isinstance(content, list) or (
        isinstance(content, dict) and not content.keys().isdisjoint({"positive", "negative", "type", "features"})
    )
