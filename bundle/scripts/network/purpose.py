"""What weights are for: the resolution and the patches that they were trained on, in a JSON file beside them.

A file of weights is a plain state dict, which cannot say so itself. The sidecar holds the SHA-256 of the weights, so
that it counts for no others. The sidecars in ``models`` tell the shipped weights wherever a copy of them lies.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .. import bundle_root
from ..errors import InputError
from ..files import atomic_path, read_json, write_json
from ..geometry import MAX_PATCH_SIZE, check_mpp
from ..ranks import is_first_rank
from .hashes import file_sha256

logger = logging.getLogger(__name__)

MPP_TOLERANCE = 0.1
"""Relative difference of resolutions that weights are fit for: that within which slides are read as they are."""


class Purpose(NamedTuple):
    """What weights are for. Use `make_purpose`.

    Attributes:
        mpp: µm per pixel that the network sees.
        patch_size: (height, width) of the patch that it sees, in such pixels.
        trained_on: a remark, or names of files and folders, as values of JSON; None if it is not told.
        version: of this package, where it made the weights.
        knows_tumor: whether the last layer was trained; after learning from pixels without labels it was not.
        appearance: range of each measure of `quality.appearance` over the training patches; None if it is not known.
        activations: what `activations.measure_tops` found on training patches; None if it is not known.
    """

    mpp: float
    patch_size: tuple[int, int]
    trained_on: Any = None
    version: str | None = None
    knows_tumor: bool = True
    appearance: Mapping[str, Sequence[float]] | None = None
    activations: Mapping[str, Sequence[float]] | None = None

    def fits(self, other: Purpose) -> bool:
        """Whether weights for the one may be used for the other: same patches, resolutions within `MPP_TOLERANCE`."""
        return self.patch_size == other.patch_size and abs(self.mpp / other.mpp - 1) <= MPP_TOLERANCE + 1e-9

    def __str__(self) -> str:
        """In words: ``0.243 µm per pixel on patches of 224 px``."""
        height, width = self.patch_size
        return f"{self.mpp:g} µm per pixel on patches of {height if height == width else f'{height} x {width}'} px"

    def content(self) -> dict[str, Any]:
        """As values of JSON."""
        found = {**self._asdict(), "patch_size": list(self.patch_size)}
        if self.knows_tumor:
            del found["knows_tumor"]
        for key in ("appearance", "activations"):
            if not found[key]:
                del found[key]
        return found


def make_purpose(
    mpp: Any,
    patch_size: Any,
    trained_on: Any = None,
    version: str | None = None,
    knows_tumor: bool = True,
    appearance: Any = None,
    activations: Any = None,
) -> Purpose:
    """The purpose of a run's weights.

    Args:
        mpp: µm per pixel that the network sees.
        patch_size: side of its patch in such pixels, or (height, width).
        trained_on: see `Purpose`.
        version: of the package; the running one if None.
        knows_tumor: see `Purpose`.
        appearance: see `Purpose`.
        activations: see `Purpose`.

    Raises:
        InputError: if a number is none or not plausible.
    """
    sides = list(patch_size) if isinstance(patch_size, Sequence) and not isinstance(patch_size, str) else [patch_size]
    sides = sides * 2 if len(sides) == 1 else sides
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= MAX_PATCH_SIZE for side in sides):
        raise InputError(
            f"patch_size must be one or two whole numbers of pixels up to {MAX_PATCH_SIZE}, but got {patch_size!r:.40}"
        )
    if not (appearance is None or (isinstance(appearance, dict) and all(map(_is_range, appearance.values())))):
        raise InputError(f"appearance must be an object of [low, high], but got {appearance!r:.60}")
    if not (activations is None or (isinstance(activations, dict) and all(map(_are_tops, activations.values())))):
        raise InputError(f"activations must be an object of lists of numbers from 0 on, but got {activations!r:.60}")
    size, made_by = (sides[0], sides[1]), version or bundle_version()
    return Purpose(check_mpp("mpp", mpp), size, trained_on, made_by, knows_tumor, appearance, activations)


def _are_tops(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value)
    return is_list and all(type(top) in (int, float) and 0 <= top < math.inf for top in value)


def _is_range(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2 and all(type(edge) in (int, float) for edge in value)
    return is_pair and -math.inf < value[0] <= value[1] < math.inf


def bundle_version() -> str:
    """The version of this package."""
    return str(read_json(Path(bundle_root()) / "configs" / "metadata.json")["version"])


def sidecar_path(weights: str | Path) -> Path:
    """Where the purpose of weights stands: ``model.json`` for ``model.pt``, ``model.onnx.json`` for ``model.onnx``."""
    path = Path(weights)
    return path.with_suffix(".json") if path.suffix == ".pt" else path.with_name(f"{path.name}.json")


def read_purpose(weights: str | Path) -> Purpose | None:
    """What weights are for.

    Args:
        weights: the file of weights, or an exported network.

    Returns:
        Their purpose; None if they are none of the shipped ones and no sidecar lies beside them.

    Raises:
        InputError: if they cannot be read, or their sidecar is damaged or tells of other weights.
    """
    digest = file_sha256(weights)
    shipped = (_read_sidecar(path) for path in sorted((Path(bundle_root()) / "models").glob("*.json")))
    known = dict(found for found in shipped if found is not None)
    if digest in known:
        return known[digest]
    sidecar = sidecar_path(weights)
    found = _read_sidecar(sidecar, digest) if sidecar.is_file() else None
    if found is None:
        return None
    if found[0] != digest:
        raise InputError(
            f"{sidecar}: tells of other weights than {Path(weights).name}, whose SHA-256 is {digest}; give the file "
            "that it was written for, or remove it"
        )
    return found[1]


def shipped_weights() -> dict[str, Purpose]:
    """What the bundle's own weights are for, by the name of their file, as their sidecars say."""
    sidecars = {path: _read_sidecar(path) for path in sorted((Path(bundle_root()) / "models").glob("*.json"))}
    return {path.with_suffix(".pt").name: found[1] for path, found in sidecars.items() if found is not None}


def _read_sidecar(path: Path, digest: str = "") -> tuple[str, Purpose] | None:
    """The hash and the purpose that a sidecar tells; None for a JSON file that is no sidecar of weights.

    One that was written by hand may lack the hash, which is said then: ``digest``, that of the weights beside it.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        return None
    if "sha256" not in content:
        if digest and {"mpp", "patch_size"} <= content.keys():
            raise InputError(f'{path}: expected the sha256 of the weights, found none; add "sha256": "{digest}"')
        return None
    version = content.get("version")
    if version is not None and not isinstance(version, str):
        raise InputError(f"{path}: version: expected a text or null, found {version!r:.40}; mend it")
    try:
        keys = {key: content.get(key) for key in ("mpp", "patch_size", "trained_on", "appearance", "activations")}
        purpose = make_purpose(**keys, knows_tumor=content.get("knows_tumor") is not False)
        return str(content["sha256"]).strip().lower(), purpose._replace(version=version)
    except InputError as error:
        raise InputError(f"{path}: {error}; mend it or remove it") from error


def check_purpose(weights: str | Path, mpp: Any, patch_size: Any, base: str = "inference.json") -> Purpose | None:
    """Refuse weights that were trained for other settings than a run has; warn if nothing is known of them.

    Args:
        weights: the file of weights.
        mpp: the run's id ``mpp``.
        patch_size: the run's id ``patch_size``.
        base: the config that is run, whose overlays may fit.

    Returns:
        What the weights are for, or None.

    Raises:
        InputError: if they know no tumor, or do not fit; names the overlay that does. See `make_purpose` and
                `read_purpose`.
    """
    asked = make_purpose(mpp, patch_size)
    purpose = read_purpose(weights)
    if purpose is None:
        if is_first_rank():
            logger.warning(
                "%s: nothing says what these weights were trained for, since there is no %s; this run takes %s",
                *(weights, sidecar_path(weights).name, asked),
            )
    elif not purpose.knows_tumor:
        raise InputError(
            f"{weights}: made without labels, so its last layer knows no tumor; train from it first, with --weights "
            f"{weights}, and give the model.pt of that training"
        )
    elif not purpose.fits(asked):
        raise InputError(
            f"{weights}: trained at {purpose}, but this run takes {asked}; {_way_out(purpose, asked, base)}"
        )
    return purpose


def _way_out(purpose: Purpose, asked: Purpose, base: str) -> str:
    configs = Path(bundle_root()) / "configs"
    if _settings_of(configs / base).fits(purpose):
        overlay = overlay_for(asked, base)
        return "give other --weights, or " + (
            f"leave --config_file {overlay} out" if overlay else f"mpp and patch_size as {base} has them"
        )
    overlay = overlay_for(purpose, base)
    return f"add --config_file {overlay}" if overlay else "give an overlay with the mpp and patch_size of the training"


def overlay_for(purpose: Purpose, base: str) -> str | None:
    """The overlay of a config with whose settings weights fit.

    Args:
        purpose: what the weights are for.
        base: the config's name, such as ``inference.json``.

    Returns:
        The overlay's name, or None if none fits.
    """
    for path in sorted((Path(bundle_root()) / "configs").glob("*.json")):
        content = read_json(path)
        is_overlay = str(content.get("_desc_", "")).startswith(f"Overlay on {base}")
        if is_overlay and {"mpp", "patch_size"} <= content.keys() and _settings_of(path).fits(purpose):
            return path.name
    return None


def _settings_of(config: Path) -> Purpose:
    content = read_json(config)
    return make_purpose(content["mpp"], content["patch_size"])


def check_sidecar(weights: str | Path) -> None:
    """Make sure that a sidecar of weights may be written, before anything is computed.

    Raises:
        InputError: if another file has its name.
    """
    path = sidecar_path(weights)
    if path.exists() and _read_sidecar(path) is None:
        raise InputError(f"{path}: no sidecar of weights, and would be replaced by that of {weights}; rename one")


def write_weights(path: str | Path, state: dict[str, torch.Tensor], purpose: Purpose | None) -> None:
    """Write a state dict and, where it is known, what it is for.

    Args:
        path: the file of weights.
        state: the state dict.
        purpose: for the sidecar; None writes none.

    Raises:
        InputError: if a file cannot be written, or another has the name of the sidecar.
    """
    check_sidecar(path)
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
        digest = file_sha256(temporary)
    if purpose is not None:
        write_json(sidecar_path(path), {"sha256": digest, **purpose.content()})
