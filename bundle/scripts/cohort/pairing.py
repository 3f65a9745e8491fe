"""Which truth belongs to which map, which slides are normal, and what is missing on either side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from ..errors import InputError, counted, few
from ..folders.names import name_key, slide_name
from ..maps.files import MapInfo
from ..maps.run_file import read_failures
from ..masks.truth_folder import TruthFolder

if TYPE_CHECKING:
    from .facts import SlideFacts

_SCALE_TOLERANCE = 0.1  # as between CAMELYON16's scanners, whose maps go together


class Named(Protocol):
    """A slide that results are named by."""

    @property
    def name(self) -> str:
        """The slide's stem."""

    @property
    def slide(self) -> str:
        """The slide's file name."""


AnyNamed = TypeVar("AnyNamed", bound=Named)


def pair_truth(
    infos: Sequence[Named],
    folder: TruthFolder,
    normal: Sequence[str] | str | int = (),
    facts: Sequence[SlideFacts] = (),
) -> list[Path | None]:
    """Find the truth of each map.

    Args:
        infos: the slides whose maps, or files of detections, are there.
        folder: the truth.
        normal: stems or file names of slides without tumor, in any case: a list, or one comma-separated string.
        facts: of each slide, of `facts.gather_facts`; none: nothing is known of any.

    Returns:
        For each map its truth, or None if it has none and is normal, by the facts, by its name or as listed, or if
        its lesions are not scored.

    Raises:
        InputError: if a map has no truth and is not known to be normal, or a reference table says that it has tumor,
            or ``normal`` lists slides that have no map, or have truth or tumor.
    """
    listed = find_stems(split_names(normal), infos, "normal")
    paths = [folder.find(info.name) for info in infos]
    classes = {info.name: fact.is_tumor for info, fact in zip(infos, facts, strict=True)} if facts else {}
    for info, fact in zip(infos, facts, strict=bool(facts)):
        if fact.is_tumor and fact.place and info.name in listed:
            raise InputError(
                f"{fact.place}: the slide is Tumor, but --normal lists {info.name}; mend the row or the list"
            )
        if fact.is_tumor and fact.counts_lesions and folder.find(info.name) is None:
            raise InputError(
                f"{fact.place}: the slide is Tumor, but {folder.folder} has no annotation or mask of {info.name}; add "
                f"it, mend the row, or leave the slide out with --exclude {info.name}"
            )
    unknown = [
        info.name
        for info, path in zip(infos, paths, strict=True)
        if path is None
        and classes.get(info.name) is None
        and info.name not in listed
        and not folder.is_normal(info.name)
    ]
    if unknown:
        raise InputError(
            f"{folder.folder}: no truth for {len(unknown)} of {counted(len(infos), 'map')}: {few(unknown)}; add their "
            f"masks or "
            "annotations, list the normal ones with --normal NAME,NAME, or give a reference table with --reference"
        )
    marked = [info.name for info, path in zip(infos, paths, strict=True) if path is not None and info.name in listed]
    if marked:
        raise InputError(
            f"normal: expected slides without truth, found truth in {folder.folder} for {few(marked)}; "
            "take them off the list or remove their truth"
        )
    return paths


def missing_warnings(maps: Path, infos: Sequence[Named], without_map: Sequence[str]) -> list[str]:
    """Warn of slides that should have a map; without them the score is that of a part of the slides.

    Args:
        maps: folder of the maps; its ``run.json``, if any, lists the slides that failed in inference.
        infos: the maps' sidecars.
        without_map: slides that have truth but no map.

    Returns:
        At most one warning of each kind.
    """
    warnings = []
    if without_map:
        warnings.append(f"slides with truth but no map, not scored: {few(without_map)}")
    names = set(read_failures(maps))
    with_map = {name_key(info.name) for info in infos}
    stale = {name for name in names if name_key(slide_name(name)) in with_map}
    if failed := sorted(names - stale):
        warnings.append(f"{counted(len(failed), 'slide')} failed in inference, not scored: {few(failed)}")
    if stale:
        warnings.append(
            f"{counted(len(stale), 'slide')} failed in a later inference, with maps of an earlier run: "
            f"{few(sorted(stale))}"
        )
    return warnings


def scale_warnings(infos: Sequence[MapInfo]) -> list[str]:
    """Warn of maps of another scale than most, such as leftovers of a run with another stride.

    Args:
        infos: the maps' sidecars.

    Returns:
        At most one warning.
    """
    pixel_um = np.array([info.stride * info.mpp for info in infos])
    usual = float(np.sort(pixel_um)[(len(pixel_um) - 1) // 2])
    is_odd = np.abs(pixel_um / usual - 1) > _SCALE_TOLERANCE
    odd = [f"{info.name} ({size:g})" for info, size, flag in zip(infos, pixel_um, is_odd, strict=True) if flag]
    return (
        [f"{counted(len(odd), 'map has', 'maps have')} another scale than {usual:g} µm per pixel: {few(odd)}"]
        if odd
        else []
    )


def tissue_warnings(infos: Sequence[MapInfo]) -> list[str]:
    """Warn of maps of slides on which no tissue was found: they look like maps of normal slides.

    Args:
        infos: the maps' sidecars.

    Returns:
        At most one warning.
    """
    names = [info.slide for info in infos if not info.has_tissue]
    of_all = f"{len(names)} of {counted(len(infos), 'slide')}"
    return [f"no tissue found on {of_all}, so 0 everywhere in the map: {few(names)}"] if names else []


def slide_warnings(infos: Sequence[Named], slides: Sequence[Path], excluded: frozenset[str]) -> list[str]:
    """Warn of slides without a map, whose false positives and lesions the score lacks.

    Args:
        infos: the slides that are scored.
        slides: the slides that there are.
        excluded: names left out on purpose, see `exclusions.leave_out`.

    Returns:
        At most one warning.
    """
    known = {name_key(info.name) for info in infos} | excluded
    missing = [path.name for path in slides if name_key(slide_name(path)) not in known]
    return [f"slides without map or detections, not scored: {few(missing)}"] if missing else []


def name_warnings(judged: Sequence[tuple[Named, bool]]) -> list[str]:
    """Warn of slides whose names and truth disagree.

    Args:
        judged: slides that have truth, and whether it marks tumor.

    Returns:
        At most one warning of each kind.
    """
    slides: dict[str, list[str]] = {}
    for info, is_tumor in judged:
        remark = _remark(info.name, is_tumor)
        if remark is not None:
            slides.setdefault(remark, []).append(info.slide)
    return [f"slides {remark}: {few(names)}" for remark, names in slides.items()]


def _remark(name: str, is_tumor: bool) -> str | None:
    from ..annotations.annotations import is_normal_name

    if is_tumor and is_normal_name(name):
        return "named normal whose truth marks tumor, which counts"
    if not is_tumor and not is_normal_name(name):
        return "whose truth marks no tumor, counted as normal"
    return None


def split_names(names: Sequence[str] | str | int) -> list[str]:
    """Names of slides by `folders.names.name_key`, from a list or one comma-separated string."""
    # The command line turns a numeric name into a number.
    words = str(names).split(",") if isinstance(names, (str, int)) else [str(name) for name in names]
    return [name_key(word.strip()) for word in words if word.strip()]


def find_stems(wanted: Sequence[str], infos: Sequence[Named], key: str) -> set[str]:
    """Stems of the slides of these names.

    Args:
        wanted: stems or file names, by `folders.names.name_key`.
        infos: the slides.
        key: the flag, for messages.

    Raises:
        InputError: if a name is of no slide.
    """
    stems = {name_key(spelling): info.name for info in infos for spelling in (info.name, info.slide)}
    unknown = [name for name in wanted if name not in stems]
    if unknown:
        raise InputError(
            f"{key}: {counted(len(unknown), 'name is', 'names are')} of no map: {few(unknown)}; mend them or add "
            f"their maps"
        )
    return {stems[name] for name in wanted}
