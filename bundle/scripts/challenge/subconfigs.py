"""Settings that a stage passes on to another config of the bundle, checked before anything is computed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import bundle_root
from ..errors import InputError
from ..files import read_json
from ..workflow import check_configs, find_overlays


def as_names(overlays: str | Sequence[str]) -> list[str]:
    """Overlays as a list; the command line gives a single one as a text."""
    return [overlays] if isinstance(overlays, str) else list(overlays)


def check_values(name: str, config: str, values: Mapping[str, Any], overlays: Sequence[str] = ()) -> None:
    """Refuse values for another config that it does not have.

    Args:
        name: the id that holds them, for messages.
        config: the other config.
        values: for its ids.
        overlays: laid over it.

    Raises:
        InputError: names the id; see `workflow.check_configs` and `workflow.find_overlays`.
    """
    try:
        json.dumps(values)
    except TypeError as error:
        raise InputError(
            f"{name}: expected values, found a component, an object with _target_; put it into a config file, and give "
            f"that as --{'inference' if config.startswith('inference') else 'training'}_overlays"
        ) from error
    paths = [Path(bundle_root()) / "configs" / config, *find_overlays(overlays)]
    check_configs(paths, values)
    known = sorted({str(key) for path in paths for key in read_json(path)} - {"_desc_"})
    for key in values:
        if key.split("#")[0] not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"{name}: {config} has no id {key!r}{hint}")


def default_of(key: str, config: str, overlays: Sequence[str]) -> Any:
    """The value of an id of a config with what is laid over it."""
    paths = [Path(bundle_root()) / "configs" / config, *find_overlays(overlays)]
    return {name: value for path in paths for name, value in read_json(path).items()}[key]
