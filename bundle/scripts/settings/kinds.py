"""What kind of value an id of a config takes, by its name or its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

_COMPUTED = ("$", "@", "%")
_Kind = tuple[str, Callable[[Any], bool]]


def _is_whole(value: Any, low: int) -> bool:
    return type(value) is int and low <= value < 1 << 31


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e12


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_computed(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_COMPUTED)


def _either(*kinds: _Kind) -> _Kind:
    return " or ".join(name for name, _ in kinds), lambda value: any(holds(value) for _, holds in kinds)


_TEXT: _Kind = ("a text", lambda value: isinstance(value, (str, Path)) and value != "")
_LIST: _Kind = ("a list", _is_list)
_TEXTS: _Kind = ("a list of texts", lambda value: _is_list(value) and len(value) > 0 and all(map(_TEXT[1], value)))
_SAMPLES: _Kind = ("a list of objects", lambda value: _is_list(value) and all(isinstance(x, dict) for x in value))
_NUMBER: _Kind = ("a number up to 1e12", _is_number)
_WHOLE: _Kind = ("a whole number from 0 to 2147483647", lambda value: _is_whole(value, 0))
_SIDE: _Kind = ("a whole number of pixels from 1 to 10000", lambda value: _is_whole(value, 1) and value <= 10_000)
_POSITIVE: _Kind = ("a whole number from 1 to 2147483647", lambda value: _is_whole(value, 1))
_PAIR: _Kind = (
    "a list of two whole numbers from 1 to 10000",
    lambda value: (
        _is_list(value) and len(value) == 2 and all(_is_whole(side, 1) or _is_computed(side) for side in value)
    ),
)
_SWITCH: _Kind = ("true or false", lambda value: isinstance(value, bool))
_AUTO: _Kind = ("auto", lambda value: value == "auto")
_NULL: _Kind = ("null", lambda value: value is None)
_COMPONENT: _Kind = (
    "a component, that is an object with _target_",
    lambda value: False,
)  # components are not looked at
_GROUP: _Kind = ("an object of ids", lambda value: isinstance(value, dict))

_BY_TYPE = {bool: _SWITCH, int: _WHOLE, float: _NUMBER, str: _TEXT, list: _LIST}
_BY_NAME = {
    **dict.fromkeys(("dataset_dir", "slides"), _either(_TEXT, _TEXTS)),
    **dict.fromkeys(("train_folders", "train_tables", "validation_folders"), _either(_TEXT, _LIST)),
    **dict.fromkeys(("validation_tables", "training_overlays", "inference_overlays"), _either(_TEXT, _LIST)),
    **dict.fromkeys(
        ("weights", "screen_weights", "foreground_dir", "cache_dir", "cache", "tracking_uri"), _either(_TEXT, _NULL)
    ),
    **dict.fromkeys(("teacher", "teacher_40x"), _either(_TEXT, _LIST, _NULL)),
    **dict.fromkeys(("assume_mpp", "max_grad_norm"), _either(_NUMBER, _NULL)),
    **dict.fromkeys(("patience", "train_limit", "validation_limit", "limit_per_slide"), _either(_POSITIVE, _NULL)),
    **dict.fromkeys(("foreground", "queue"), _either(_COMPONENT, _NULL)),
    **dict.fromkeys(("epochs", "batch_size", "val_interval", "tile_size", "num_ranks", "projector_width"), _POSITIVE),
    **dict.fromkeys(("stride", "region_size", "picture_size"), _SIDE),
    **dict.fromkeys(("patch_size", "field_size"), _either(_SIDE, _PAIR)),
    "grid_shape": _PAIR,
    "datalist": _either(_COMPONENT, _SAMPLES),
    "normal": _either(("a text", lambda value: isinstance(value, str)), _LIST),
    "exclude": ("a text", lambda value: isinstance(value, str)),
    "bundle_root": _TEXT,
    "ckpt_dir": _TEXT,
    "is_not_rank0": _SWITCH,
    "num_workers": ("a whole number from 0 to 1000", lambda value: _is_whole(value, 0) and value <= 1000),
}
"""Ids whose default does not tell what they take."""


def check_settings(source: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse values of another kind than the ids take.

    Args:
        source: where they stand, for messages.
        given: values by id.
        defaults: what the configs hold.

    Raises:
        InputError: names the id and what it takes.
    """
    for key, value in given.items():
        if _is_computed(value) or (isinstance(value, dict) and "_target_" in value):
            continue  # what it gives is not known yet
        if "#" in key:
            kind = _nested_kind(key, defaults)
        else:
            by_default = _kind_of(defaults.get(key))
            kind = by_default if by_default is _GROUP else _BY_NAME.get(key) or by_default
            if key in _BY_NAME and kind is not None and defaults.get(key) == "auto":
                kind = _either(kind, _AUTO)
        if kind is not None and not kind[1](value):
            raise InputError(f"{source}{key}: expected {kind[0]}, found {value!r:.40}; see docs/configs.md")


def _nested_kind(key: str, defaults: Mapping[str, Any]) -> _Kind | None:
    """What an id such as ``network_def#model_name`` takes: values of its default's kind, or null.

    A component may take a number where its default is a whole one, so this is less strict than for ids at the top.
    """
    value: Any = defaults
    for part in key.split("#"):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif _is_list(value) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _either(_NUMBER, _LIST, _NULL)
    if isinstance(value, str) and not _is_computed(value):
        return _either(("a text", lambda given: isinstance(given, str)), _NULL)
    kind = _kind_of(value)
    return None if kind is None else _either(kind, _NULL)


def _kind_of(default: Any) -> _Kind | None:
    if isinstance(default, dict):
        return _COMPONENT if "_target_" in default else _GROUP
    return None if _is_computed(default) else _BY_TYPE.get(type(default))
