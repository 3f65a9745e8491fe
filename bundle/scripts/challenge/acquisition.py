"""The stage that gets the slides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..errors import FilesFailedError, InputError, counted
from ..storage.bucket import EXTRAS, SOURCE, choose_files, list_data, measure_rate
from ..storage.download import copy_extras, download_camelyon16
from .cohort import TEST, Member, choose_subset, make_member
from .costs import Cost, Probe
from .engine import Outcome
from .steps import Step


class Offer(NamedTuple):
    """What the bucket has for a run.

    Attributes:
        members: slides to copy.
        sizes: bytes of the files to copy, by their paths in the bucket and in ``root``.
        trouble: why it cannot be told, "" where it can.
    """

    members: Sequence[Member] = ()
    sizes: Mapping[str, int] = {}
    trouble: str = ""


_COPIED = ("images", "annotations")
_ALL_SLIDES = "about 700 GB, test slides about a third of that"


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
        return ",".join(member.name for member in self._members())

    def _members(self) -> list[Member]:
        annotated = {PurePosixPath(path).stem.lower() for path in self._listed["annotations"]}
        found = (make_member(path, annotated) for path in self._listed["images"])
        members = [member for member in found if member is not None]
        if self.layout.trains() is not None:
            members = [member for member in members if member.part == TEST]
        chosen = members if self.subset is None else choose_subset(members, self.subset, self.seed)
        if not chosen:
            raise InputError(f"{self.source}/images: expected slides of CAMELYON16, found none; give another source")
        return chosen

    @cached_property
    def _listed(self) -> dict[str, dict[str, int]]:
        return list_data(self.source, self.endpoint)

    @cached_property
    def offer(self) -> Offer:
        """What would be copied; asks the bucket once."""
        try:
            sizes = {path: size for name in _COPIED for path, size in self._listed[name].items()}
            files = choose_files([f"{self.source}/{path}" for path in sizes], self.source, self.chosen())
            paths = [file.removeprefix(f"{self.source}/") for file in files]
            return Offer(self._members(), {path: sizes[path] for path in paths})
        except InputError as error:
            return Offer(trouble=str(error))

    def cost(self, probe: Probe) -> Cost:
        """Files that are not there whole, at the rate at which the beginnings of a few of them come."""
        if self.offer.trouble:
            return Cost(remark=f"{self.offer.trouble}; all slides take {_ALL_SLIDES}")
        missing = {path: size for path, size in self.offer.sizes.items() if not self._is_there(path, size)}
        if not missing:
            return Cost(0.0, remark="all files are there")
        total = sum(missing.values())
        what = f"{counted(len(missing), 'file')} of {total / 1e9:.3f} GB"
        try:
            rate = measure_rate(missing, self.source, self.endpoint, self.num_at_once)
        except InputError as error:
            return Cost(slide_bytes=total, remark=f"{what}; {error}")
        return Cost(total / rate, slide_bytes=total, remark=f"{what} at {rate / 1e6:.1f} MB/s")

    def _is_there(self, path: str, size: int) -> bool:
        target = self.layout.root / path
        return target.is_file() and target.stat().st_size == size

    def run(self, goes_on: bool) -> Outcome:
        """Copy what is missing; a file that cannot be copied is set aside."""
        copy_extras(self.layout.root, self.source, self.endpoint, EXTRAS)
        try:
            line = download_camelyon16(
                self.layout.root, self.chosen(), ",".join(_COPIED), self.source, self.endpoint, self.num_at_once
            )
        except FilesFailedError as error:
            return Outcome(str(error), {PurePosixPath(url).name: reason for url, reason in error.reasons.items()})
        return Outcome(line)
