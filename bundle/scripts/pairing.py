"""Which truth belongs to which map, which slides are normal, and what is missing on either side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .errors import InputError
from .files import read_json
from .maps import MapInfo
from .truth import TruthFolder


def pair_truth(
    infos: Sequence[MapInfo], folder: TruthFolder, normal: Sequence[str] | str | int = ()
) -> list[Path | None]:
    """Find the truth of each map.

    Args:
        infos: the maps' sidecars.
        folder: the truth.
        normal: stems or file names of slides without tumor, in any case: a list, or one comma-separated string.

    Returns:
        For each map its truth, or None if it has none and is normal, by its name or as listed.

    Raises:
        InputError: if a map has no truth and is not known to be normal, or ``normal`` lists slides that have no map,
            or have truth.
    """
    from .annotations import is_normal_name

    listed = _normal_names(normal, infos)
    paths = [folder.find(info.name) for info in infos]
    unknown = [
        info.name
        for info, path in zip(infos, paths, strict=True)
        if path is None and info.name not in listed and not is_normal_name(info.name)
    ]
    if unknown:
        raise InputError(
            f"{folder.folder}: no truth for {len(unknown)} of {len(infos)} maps: {_few(unknown)}; add their masks or "
            "annotations, or list the normal ones with --normal NAME,NAME"
        )
    marked = [info.name for info, path in zip(infos, paths, strict=True) if path is not None and info.name in listed]
    if marked:
        raise InputError(
            f"normal: expected slides without truth, found truth in {folder.folder} for {_few(marked)}; "
            "take them off the list or remove their truth"
        )
    return paths


def missing_warnings(maps: Path, infos: Sequence[MapInfo], without_map: Sequence[str]) -> list[str]:
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
        warnings.append(f"{len(without_map)} slides have truth but no map and are not scored: {_few(without_map)}")
    record = maps / "run.json"
    content = read_json(record) if record.is_file() else {}
    failures = content.get("slides_failed", []) if isinstance(content, dict) else []
    names = {Path(str(failure.get("slide"))).name for failure in failures if isinstance(failure, dict)}
    with_map = {info.slide for info in infos}
    if failed := sorted(names - with_map):
        warnings.append(f"{len(failed)} slides failed in inference and are not scored: {_few(failed)}")
    if stale := sorted(names & with_map):
        warnings.append(
            f"{len(stale)} slides failed in the latest inference, their maps are of an earlier run: {_few(stale)}"
        )
    return warnings


def name_warnings(judged: Sequence[tuple[MapInfo, bool]]) -> list[str]:
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
    return [f"{len(names)} slides {remark}: {_few(names)}" for remark, names in slides.items()]


def _remark(name: str, is_tumor: bool) -> str | None:
    from .annotations import is_normal_name

    if is_tumor and is_normal_name(name):
        return "are named normal, but their truth marks tumor, which counts"
    if not is_tumor and not is_normal_name(name):
        return "have truth that marks no tumor, and count as normal"
    return None


def _normal_names(normal: Sequence[str] | str | int, infos: Sequence[MapInfo]) -> set[str]:
    """Stems of the slides listed as normal; each must be that of a map, by stem or by file name, in any case."""
    # The command line turns a numeric name into a number.
    names = str(normal).split(",") if isinstance(normal, (str, int)) else [str(name) for name in normal]
    stems = {spelling.lower(): info.name for info in infos for spelling in (info.name, info.slide)}
    wanted = [name.strip().lower() for name in names if name.strip()]
    unknown = [name for name in wanted if name not in stems]
    if unknown:
        raise InputError(f"normal: {len(unknown)} names are of no map: {_few(unknown)}; mend them or add their maps")
    return {stems[name] for name in wanted}


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
