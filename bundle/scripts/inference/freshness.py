"""Whether a map is up to date: what it was made from, and what has changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..folders.dicom import files_of
from ..folders.names import is_url, named_file, slide_file_name, slide_name
from ..quality.files import SUFFIX
from ..storage.remote import describe
from .tiles import TileDataset

INTERRUPTED = "a map without a sidecar, of a run that was interrupted"
DAMAGED = "its sidecar is damaged"


def why_outdated(sidecar_text: bytes, map_shape: tuple[int, ...] | None, expected: dict[str, Any]) -> str | None:
    """Why a slide must be computed whose sidecar is there.

    Args:
        sidecar_text: what the sidecar holds.
        map_shape: shape of the map, None if it is missing or damaged.
        expected: see `folder_results.ResultFolder.outdated`.

    Returns:
        A reason for the console, None if map and sidecar are up to date.
    """
    try:
        sidecar = json.loads(sidecar_text)
    except (ValueError, RecursionError):
        return DAMAGED
    if not isinstance(sidecar, dict):
        return DAMAGED
    changed = [key for key in expected if key not in sidecar or sidecar[key] != expected[key]]
    if changed:
        key = changed[0]
        return f"{key} was {json.dumps(sidecar.get(key)):.60}, is {json.dumps(expected[key]):.60}"
    if map_shape is None:
        return "its map is missing or damaged"
    stride, shape = expected.get("stride", 1), sidecar.get("shape", [0, 0])
    if not isinstance(shape, list) or not all(isinstance(side, int) for side in shape):
        return DAMAGED
    if list(map_shape) != [-(-side // stride) for side in shape]:
        return "its map is of another size"
    return None


def older_map_remark(read_sidecar: Callable[[], dict[str, Any]], assume_mpp: float | None) -> str:
    """What to say of an older map, which stays where its slide fails now.

    Args:
        read_sidecar: gives the sidecar of the map that is there.
        assume_mpp: of this run.

    Returns:
        The end of a line, "" if there is no map.
    """
    try:
        sidecar = read_sidecar()
    except InputError:
        return ""
    if not isinstance(sidecar, dict) or "shape" not in sidecar:
        return ""
    assumed = sidecar.get("assume_mpp")
    if assumed in (None, assume_mpp):
        return "; the map that is there stays"
    return f"; the map that is there stays, it was made with --assume_mpp {assumed}"


def slide_identity(path: str | Path) -> dict[str, Any]:
    """What tells whether a slide's file is still the same, without reading it.

    Args:
        path: the slide's file or address.

    Returns:
        ``slide``: its name; ``slide_bytes``; ``slide_modified``: in ns since 1970. None for what cannot be told.
    """
    if is_url(path):
        try:
            file = describe(str(path))
        except InputError:
            return {"slide": slide_file_name(path), "slide_bytes": None, "slide_modified": None}
        return {"slide": slide_file_name(path), "slide_bytes": file.size, "slide_modified": file.modified_ns}
    try:
        found = [file.stat() for file in files_of(Path(path))]
    except OSError:  # planning the slide will say why
        found = []
    return {
        "slide": slide_file_name(path),
        "slide_bytes": sum(file.st_size for file in found) if found else None,
        "slide_modified": max(file.st_mtime_ns for file in found) if found else None,
    }


def expected_sidecar(
    dataset: TileDataset, path: str | Path, computing: dict[str, Any], provenance: dict[str, Any]
) -> dict[str, Any]:
    """What the map of a slide depends on, as it stands in its sidecar.

    Args:
        dataset: the dataset.
        path: the slide.
        computing: settings of the inferer.
        provenance: what made the map, see `provenance`.
    """
    return {
        **slide_identity(path),
        **{key: provenance[key] for key in ("weights_sha256", "screen_weights_sha256") if key in provenance},
        "mode_asked": computing["mode"],
        **{key: value for key, value in computing.items() if key != "mode"},
        **reading_settings(dataset, path),
        "bundle_version": provenance["versions"]["pathology_tumor_detection"],
    }


def reading_settings(dataset: TileDataset, path: str | Path) -> dict[str, Any]:
    """Settings of reading on which a slide's map depends.

    Args:
        dataset: the dataset.
        path: the slide.

    Returns:
        ``stride``, ``model_mpp``, ``patch_size``, ``tile_size``, ``reader``: the backend asked for, ``assume_mpp``, and
        ``foreground``: the settings by which it is computed, or the SHA-256 of the slide's mask and artifact mask;
        ``skip_artifacts``: labels of the artifacts that are left out of it.
    """
    if dataset.foreground_dir is None:
        foreground: Any = dataset.foreground._asdict()
    else:
        masks = [named_file(dataset.foreground_dir, slide_name(path), suffix) for suffix in (".png", SUFFIX)]
        content = b"".join(mask.read_bytes() for mask in masks if mask.is_file())
        foreground = hashlib.sha256(content).hexdigest() if masks[0].is_file() else None
    return {
        "stride": dataset.stride,
        "model_mpp": dataset.mpp,
        "patch_size": dataset.patch_size,
        "tile_size": dataset.tile_size,
        "reader": dataset.slides.backend,
        "assume_mpp": dataset.assumed_mpp(str(path)),
        "foreground": foreground,
        "skip_artifacts": [artifact.label for artifact in dataset.skip_artifacts],
    }
