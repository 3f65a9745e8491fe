"""Regions in place of those of slides that turn out to be damaged in a training, so that it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from ..errors import InputError, first_input_error, one_line
from ..files import atomic_path, read_json, write_json
from ..folders.names import name_key, slide_name

_REASONS = "set_aside.json"
_MOST = 0.1
"""Of the slides at most this share is taken out: where more are damaged, something else is wrong."""


class Substitutes:
    """The slides of a training that cannot be read, and its label files without them.

    A file keeps its number of lines, of either class as far as others have any, so that the training can resume.

    Args:
        folder: of the training, where the label files without these slides are written.
        goes_on: whether slides were taken out before, by the same training.

    Attributes:
        reasons: why slides were taken out, by file name.

    Raises:
        InputError: if what was written before is damaged.
    """

    def __init__(self, folder: Path, goes_on: bool) -> None:
        self._folder = folder
        path = folder / _REASONS
        found = read_json(path) if goes_on and path.is_file() else {}
        if not isinstance(found, dict):
            raise InputError(f"{path}: expected an object of reasons by slide, found another; remove it")
        self.reasons = {str(name): str(reason) for name, reason in found.items()}

    def take_out(self, error: Exception, slides: Sequence[Path]) -> str | None:
        """Take out the slide that an error names.

        Args:
            error: what ended the training.
            slides: those that it may be of.

        Returns:
            The reason, or None if the error is of no slide, of one that was taken out, or too many were.
        """
        reason = one_line(first_input_error(error) or error)
        named = [path for path in slides if reason.startswith(f"{path}: ")]
        if not named or named[0].name in self.reasons or len(self.reasons) >= max(1, _MOST * len(slides)):
            return None
        self.reasons[named[0].name] = reason
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._folder / _REASONS, self.reasons)
        return reason

    def file(self, labels: Path) -> Path:
        """A label file without the slides that were taken out; itself if there are none.

        Raises:
            InputError: if nothing is left.
        """
        if not self.reasons:
            return labels
        out = {name_key(slide_name(name)) for name in self.reasons}
        lines = labels.read_text(encoding="utf-8-sig").splitlines()
        kept = [line for line in lines if name_key(line.partition(",")[0].strip()) not in out]
        if not kept:
            raise InputError(f"{labels}: no region is left without {', '.join(self.reasons)}; copy the slides again")
        of_class = {is_tumor: cycle([line for line in kept if _is_tumor(line) == is_tumor]) for is_tumor in (0, 1)}
        lost = [line for line in lines if name_key(line.partition(",")[0].strip()) in out]
        others = cycle(kept)
        substitutes = [next(of_class[_is_tumor(line)], None) or next(others) for line in lost]
        path = self._folder / f"{labels.stem}_substituted.csv"
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in (*kept, *substitutes)), encoding="utf-8")
        return path


def _is_tumor(line: str) -> int:
    """The label of the middle of nine cells, as text or else."""
    return int(line.split(",")[7].strip() == "1")
