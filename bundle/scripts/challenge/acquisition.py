"""The stage that gets the slides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import FilesFailedError, InputError
from ..storage.download import EXTRAS, SOURCE, copy_extras, download_camelyon16, list_names
from .cohort import TEST, choose_subset, make_member
from .engine import Outcome
from .steps import Step


@dataclass
class Download(Step):
    """Copies slides and annotations from the bucket into ``root``; what is there whole is left.

    Attributes:
        download: whether to; else the slides are there.
        source: the data set's address.
        endpoint: of another S3 service than Amazon's.
        num_at_once: files that are copied at a time.
        subset: slides of each kind, or None for all.
        seed: of their choice.
    """

    download: bool = False
    source: str = SOURCE
    endpoint: str | None = None
    num_at_once: int = 4
    subset: int | None = None
    seed: int = 0
    name = "download"

    def left_out(self) -> str | None:
        """The slides are there unless the run says otherwise."""
        return None if self.download else "download is false: the slides are there"

    def settings(self) -> dict[str, Any]:
        """Where from, and which slides."""
        return {
            "source": self.source,
            "trains": self.layout.trains() is None,
            "subset": self.subset,
            "seed": self.seed if self.subset else None,
        }

    def outputs(self) -> Sequence[Path]:
        """The slides, which may be moved later; that they are missing is for `Verify` to tell."""
        return [self.layout.root / "images", self.layout.annotations]

    def clear(self) -> None:
        """Nothing: slides of 700 GB are not removed, and files that are whole are left."""

    def chosen(self) -> str:
        """Names of the slides to copy, separated by commas, or ``all``; without a training only test slides."""
        if self.subset is None and self.layout.trains() is None:
            return "all"
        names = list_names(self.source, self.endpoint)
        annotated = {PurePosixPath(path).stem.lower() for path in names["annotations"]}
        found = (make_member(path, annotated) for path in names["images"])
        members = [member for member in found if member is not None]
        if self.layout.trains() is not None:
            members = [member for member in members if member.part == TEST]
        chosen = members if self.subset is None else choose_subset(members, self.subset, self.seed)
        if not chosen:
            raise InputError(f"{self.source}/images: expected slides of CAMELYON16, found none; give another source")
        return ",".join(member.name for member in chosen)

    def run(self, goes_on: bool) -> Outcome:
        """Copy what is missing; a file that cannot be copied is set aside."""
        copy_extras(self.layout.root, self.source, self.endpoint, EXTRAS)
        try:
            line = download_camelyon16(
                self.layout.root, self.chosen(), "images,annotations", self.source, self.endpoint, self.num_at_once
            )
        except FilesFailedError as error:
            return Outcome(str(error), {PurePosixPath(url).name: reason for url, reason in error.reasons.items()})
        return Outcome(line)
