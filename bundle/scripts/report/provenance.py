"""How the maps of a report were made: their settings, versions and times, from the sidecars and ``run.json``."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..files import read_json
from ..maps.files import MapInfo

_UNKNOWN = "not stated"


def read_sidecars(infos: Sequence[MapInfo]) -> list[dict[str, Any]]:
    """What the sidecars of maps hold, in the order of the maps."""
    return [read_json(info.path.with_suffix(".json")) for info in infos]


def made_with(
    infos: Sequence[MapInfo], sidecars: Sequence[dict[str, Any]], run: dict[str, Any]
) -> list[tuple[str, str]]:
    """Names and values for the end of the page.

    Args:
        infos: of the maps.
        sidecars: of the same maps, see `read_sidecars`.
        run: see `maps.run_file.read_run`.

    Returns:
        The lines. Where maps differ, a value is followed by the number of its slides.
    """
    pixels = [f"{info.stride} level-0 pixels, {info.stride * info.mpp:.1f} µm" for info in infos]
    lines = [
        ("Weights of the maps", _tally([_weights(sidecar) for sidecar in sidecars])),
        ("Mode", _tally([_mode(sidecar) for sidecar in sidecars])),
        ("Stride (one map pixel)", _tally(pixels)),
        ("Resolution of the network", _tally([_resolution(sidecar) for sidecar in sidecars])),
        ("Foreground", _tally([_foreground(sidecar) for sidecar in sidecars])),
        ("Runtime and precision", _tally([_joined(sidecar, "runtime", "precision") for sidecar in sidecars])),
        ("Slides read with", _tally([_joined(sidecar, "backend") for sidecar in sidecars])),
        ("Seconds per slide", _seconds(sidecars)),
    ]
    if run:
        lines.append(("The last run", _run(run)))
    lines.append(("Versions", _tally([_versions(sidecar) for sidecar in sidecars])))
    return lines


def _tally(values: Sequence[str]) -> str:
    found = Counter(values).most_common()
    if len(found) == 1:
        return found[0][0]
    return "; ".join(f"{value}: {count} {'slide' if count == 1 else 'slides'}" for value, count in found)


def _weights(sidecar: dict[str, Any]) -> str:
    name, digest = sidecar.get("weights"), sidecar.get("weights_sha256")
    return _UNKNOWN if not name else f"{name} (SHA-256 {str(digest)[:8]}…)" if digest else str(name)


def _mode(sidecar: dict[str, Any]) -> str:
    mode = sidecar.get("mode")
    if not mode:
        return _UNKNOWN
    key, screen = ("screen_above", " of the screen") if mode == "cascade" else ("refine_above", "")
    again = f", again above {sidecar[key]}{screen}" if mode in ("refined", "cascade") and key in sidecar else ""
    if mode == "refined" and (below := sidecar.get("refine_below")) not in (None, 1):
        again += f" and up to {below}"
    return f"{mode}{again}{', mean of eight orientations' if sidecar.get('tta') else ''}"


def _resolution(sidecar: dict[str, Any]) -> str:
    mpp, size, tile = (sidecar.get(key) for key in ("model_mpp", "patch_size", "tile_size"))
    if not mpp:
        return _UNKNOWN
    return f"{mpp} µm per pixel, patches of {size} px, tiles of {tile} px"


def _foreground(sidecar: dict[str, Any]) -> str:
    """The settings by which it was computed; a mask that was given has a digest instead."""
    found = sidecar.get("foreground")
    if isinstance(found, dict):
        return ", ".join(f"{key} {json.dumps(value)}" for key, value in found.items())
    return "masks that were given (--foreground_dir)" if found else _UNKNOWN


def _joined(sidecar: dict[str, Any], *keys: str) -> str:
    return ", ".join(str(sidecar[key]) for key in keys if sidecar.get(key)) or _UNKNOWN


def _seconds(sidecars: Sequence[dict[str, Any]]) -> str:
    times = [float(sidecar["seconds"]) for sidecar in sidecars if isinstance(sidecar.get("seconds"), (int, float))]
    if not times:
        return _UNKNOWN
    unknown = f"; {len(sidecars) - len(times)} {_UNKNOWN}" if len(times) < len(sidecars) else ""
    return f"median {statistics.median(times):.1f}, from {min(times):.1f} to {max(times):.1f}{unknown}"


def _run(run: dict[str, Any]) -> str:
    counts = [
        f"{len(run[key])} {text}"
        for key, text in (("slides_done", "computed"), ("slides_skipped", "kept"), ("slides_failed", "failed"))
        if isinstance(run.get(key), list)
    ]
    parts = [f"slides: {', '.join(counts)}"] if counts else []
    parts += [f"{run['seconds']:.0f} s"] if isinstance(run.get("seconds"), (int, float)) else []
    parts += [f"processes: {run['processes']}"] if run.get("processes") else []
    parts += [f"most time in: {run['bound_by']}"] if run.get("bound_by") else []
    return "; ".join(parts) or _UNKNOWN


def _versions(sidecar: dict[str, Any]) -> str:
    versions = sidecar.get("versions")
    if not isinstance(versions, dict) or not versions:
        return _UNKNOWN
    return ", ".join(f"{name} {version}" for name, version in versions.items())
