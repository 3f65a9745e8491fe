"""The stages that get the slides and look at each of them before anything is computed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from ..annotations.annotations import Annotation, index_annotations, read_annotation
from ..errors import FilesFailedError, InputError
from ..files import write_json
from ..folders.search import find_slides
from ..storage.download import SOURCE, download_camelyon16, list_names
from .checking import Checksums, check_slide
from .cohort import TEST, TRAINING, Member, choose_subset, make_member, members_content
from .engine import Outcome
from .layout import COHORT
from .steps import Step

logger = logging.getLogger(__name__)


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
        return {"source": self.source, "subset": self.subset, "seed": self.seed if self.subset else None}

    def outputs(self) -> Sequence[Path]:
        """The slides, which may be moved later; that they are missing is for `Verify` to tell."""
        return [self.layout.root / "images", self.layout.annotations]

    def clear(self) -> None:
        """Nothing: slides of 700 GB are not removed, and files that are whole are left."""

    def chosen(self) -> str:
        """Names of the slides to copy, separated by commas, or ``all``."""
        if self.subset is None:
            return "all"
        names = list_names(self.source, self.endpoint)
        annotated = {PurePosixPath(path).stem.lower() for path in names["annotations"]}
        members = [make_member(path, annotated) for path in names["images"]]
        chosen = choose_subset([member for member in members if member is not None], self.subset, self.seed)
        if not chosen:
            raise InputError(f"{self.source}/images: expected slides of CAMELYON16, found none; give another source")
        return ",".join(member.name for member in chosen)

    def run(self, goes_on: bool) -> Outcome:
        """Copy what is missing; a file that cannot be copied is set aside."""
        try:
            line = download_camelyon16(
                self.layout.root, self.chosen(), "images,annotations", self.source, self.endpoint, self.num_at_once
            )
        except FilesFailedError as error:
            return Outcome(str(error), {PurePosixPath(url).name: reason for url, reason in error.reasons.items()})
        return Outcome(line)


@dataclass
class Verify(Step):
    """Looks at every slide that is to take part: its checksum, whether it opens, its truth. Writes ``cohort.json``.

    Attributes:
        subset: slides of each kind, or None for all.
        seed: of their choice.
        backend: see `slides.slide.open_slide`.
        stride: level-0 pixels per pixel of the overview that is read.
    """

    subset: int | None = None
    seed: int = 0
    backend: str = "auto"
    stride: int = 64
    name = "verify"

    def settings(self) -> dict[str, Any]:
        """Which slides."""
        return {
            "subset": self.subset,
            "seed": self.seed if self.subset else None,
            "trains": self.layout.trains() is None,
            "backend": self.backend,
            "stride": self.stride,
        }

    def inputs(self) -> Sequence[Path]:
        """Slides, annotations and checksums."""
        return [*self.slides(), self.layout.annotations, *Checksums.paths(self.layout.root)]

    def outputs(self) -> Sequence[Path]:
        """The list of usable slides."""
        return [self.folder / COHORT, self.layout.truth]

    def slides(self) -> list[Path]:
        """Slides of the data set that are there."""
        root = self.layout.root
        if not root.is_dir():
            raise InputError(f"root {root}: no such folder; give the data set's, or --download true to get it")
        return find_slides(root)

    def run(self, goes_on: bool) -> Outcome:
        """Look at each slide; checksums that were compared before are not computed again."""
        members, unknown = self._members()
        checksums = Checksums(self.layout.root, self.folder)
        set_aside: dict[str, str] = {}
        usable: list[Member] = []
        for member in tqdm(members, desc="verify", unit="slide"):
            path = self.layout.root / member.path
            try:
                checksums.check(path)
                check_slide(path, self.backend, self.stride)
                self._check_truth(member)
            except InputError as error:
                logger.error("%s", error)
                set_aside[path.name] = str(error)
                continue
            usable.append(member)
        if not any(member.part == TEST for member in usable):
            reason = f"; first: {next(iter(set_aside.values()))}" if set_aside else ""
            raise InputError(f"root {self.layout.root}: expected usable test slides, found none{reason}; add some")
        self._copy_truth(usable)
        write_json(self.folder / COHORT, members_content(usable, set_aside))
        kinds = sorted({member.kind for member in usable}, reverse=True)
        counts = ", ".join(f"{sum(member.kind == kind for member in usable)} {kind}" for kind in kinds)
        beyond = f"; {unknown} files with other names are no slides of the challenge" if unknown else ""
        chosen = f", a subset of {self.subset} of each kind" if self.subset else ""
        return Outcome(f"{len(usable)} slides ({counts}){chosen}; {checksums.summary()}{beyond}", set_aside)

    def _copy_truth(self, usable: Sequence[Member]) -> None:
        """The annotations of the test slides in a folder of their own, which holds the truth of no other slide."""
        index = index_annotations(self.layout.annotations)
        shutil.rmtree(self.layout.truth, ignore_errors=True)
        self.layout.truth.mkdir(parents=True)
        for member in usable:
            path = index.get(member.name) if member.part == TEST else None
            if path is not None:
                shutil.copy(path, self.layout.truth)

    def _members(self) -> tuple[list[Member], int]:
        """Slides that are to take part, and how many files have no name of the challenge."""
        annotations = self._annotations()
        paths = [path.relative_to(self.layout.root).as_posix() for path in self.slides()]
        tumor = {name for name, annotation in annotations.items() if annotation.tumor}
        found = [(path, make_member(path, tumor)) for path in paths]
        members = [member for _, member in found if member is not None]
        unknown = len(found) - len(members)
        if self.layout.trains() is not None:
            members = [member for member in members if member.part == TEST]
        return (members if self.subset is None else choose_subset(members, self.subset, self.seed)), unknown

    def _annotations(self) -> dict[str, Annotation]:
        """The annotations of test slides."""
        index = index_annotations(self.layout.annotations)
        return {key: read_annotation(index[key]) for key in index.keys() if key.startswith("test_")}  # noqa: SIM118

    def _check_truth(self, member: Member) -> None:
        if (
            member.part == TRAINING
            and member.is_tumor
            and index_annotations(self.layout.annotations).get(member.name) is None
        ):
            raise InputError(f"{self.layout.annotations}: no annotation of {member.name}, which has tumor; add it")
