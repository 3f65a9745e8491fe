"""Where the data set and the results of each stage lie."""

from __future__ import annotations

from pathlib import Path

from .. import bundle_root
from ..errors import InputError
from ..files import read_json
from .cohort import Member, read_members

SHIPPED = "shipped"
"""What ``weights`` says for the bundle's own."""

COHORT = "cohort.json"


class Layout:
    """Paths of a run.

    Args:
        root: folder of the data set.
        output: folder of the results.
        weights: None to train, `SHIPPED`, or a file of weights.
        rounds: trainings: 2 mines hard negatives and trains a second time.
        corrections: file of corrected labels, see `folders.corrections.Corrections`, or None.

    Raises:
        InputError: if ``rounds`` is neither 1 nor 2.
    """

    def __init__(
        self, root: str, output: str, weights: str | None = None, rounds: int = 2, corrections: str | None = None
    ) -> None:
        if rounds not in (1, 2):
            raise InputError(f"rounds: expected 1 or 2, found {rounds!r}; mend it")
        self.root, self.output = Path(root), Path(output)
        self.given_weights, self.rounds = weights, rounds
        self.corrections = None if corrections is None else Path(corrections)

    @property
    def annotations(self) -> Path:
        """Folder of the data set's annotations."""
        return self.root / "annotations"

    @property
    def truth(self) -> Path:
        """Folder of the annotations of the usable test slides, which the stage ``verify`` fills."""
        return self.folder("verify") / "truth"

    def corrected(self) -> list[Path]:
        """The file of corrected labels, if there is one, as an input of stages."""
        return [] if self.corrections is None else [self.corrections]

    def folder(self, stage: str) -> Path:
        """Where a stage writes."""
        return self.output / stage

    def trains(self) -> str | None:
        """Why there is no training, None if there is."""
        return None if self.given_weights is None else f"weights are given: {self.given_weights}"

    def trains_twice(self) -> str | None:
        """Why there is no second round of training, None if there is."""
        return self.trains() or (None if self.rounds == 2 else "rounds is 1")

    @staticmethod
    def shipped() -> Path:
        """The bundle's own weights."""
        return Path(bundle_root()) / "models" / "model.pt"

    def weights(self) -> Path:
        """The weights that the test slides are computed with; those of a training need not be there yet."""
        if self.given_weights == SHIPPED:
            return self.shipped()
        if self.given_weights is not None:
            return Path(self.given_weights)
        return self.folder("training" if self.rounds == 1 else "second_training") / "model.pt"

    def members(self, part: str) -> list[Member]:
        """Slides that the stage ``verify`` found usable; none before it has run.

        Args:
            part: ``training`` or ``test``.

        Raises:
            InputError: if its file is damaged.
        """
        path = self.folder("verify") / COHORT
        return (
            [member for member in read_members(read_json(path), path) if member.part == part] if path.exists() else []
        )

    def slides(self, part: str) -> list[Path]:
        """Their files, see `members`."""
        return [self.root / member.path for member in self.members(part)]

    def shown(self, path: Path) -> str:
        """A path as ``stages.json`` names it, so that root and output may be moved."""
        for name, folder in (("output", self.output), ("root", self.root)):
            if path.is_relative_to(folder):
                return f"{name}/{path.relative_to(folder).as_posix()}"
        return str(path)

    def found(self, shown: str) -> Path:
        """The path that `shown` names."""
        first, _, rest = shown.partition("/")
        folder = {"output": self.output, "root": self.root}.get(first)
        return Path(shown) if folder is None else folder / rest
