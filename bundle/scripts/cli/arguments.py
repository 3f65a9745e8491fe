"""Flags of the command line: which exist, how many values they take, and of what type."""

from __future__ import annotations

import ast
import inspect
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import read_json, read_number
from ..settings.ids import config_ids, nearest

_SEPARATOR = "\n"  # between the values of one flag; it cannot be typed on a command line by accident
_IS_PATH = re.compile(
    r"(_dir|_file|\bslides|weights|root|output|reference|corrections)$"
)  # ids whose values are paths, also those such as 001 or 64; not max_slides

_IS_TEXT = ("exclude", "normal", "note", "title")  # flags whose values are never paths


def find_command(name: str, commands: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The command of this name.

    Raises:
        InputError: if there is none; names the nearest.
    """
    if name not in commands:
        raise InputError(f"no command {name!r}{nearest(name, commands)}; see tumor-detection --help")
    return commands[name]


def check_flags(flags: Mapping[str, str | None], command: Callable[..., Any], configs: Sequence[Path] = ()) -> None:
    """Refuse unknown flags, with the nearest known one, missing flags, and flags without a value.

    Args:
        flags: see `join_values`.
        command: the function.
        configs: the config, with its overlays, whose ids are flags too; none for a command without.

    Raises:
        InputError: if a flag or config id does not exist, a required flag is missing, or a value is.
    """
    name = command.__name__
    parameters = inspect.signature(command).parameters
    known = {key: item for key, item in parameters.items() if item.kind is not item.VAR_KEYWORD}
    values: dict[str, Any] = {key: item.annotation for key, item in known.items()}
    for path in configs:
        content = read_json(path)
        if not isinstance(content, dict):
            raise InputError(f"{path}: expected a config, an object of ids, found {content!r:.40}; mend it")
        values |= {"config_file": "", **config_ids(content)}
    for flag, value in flags.items():
        if flag not in values:
            hint = "; a new id goes into an overlay, --config_file FILE" if "#" in flag else ""
            raise InputError(
                f"{name} has no flag or id --{flag}{nearest(flag, values)}; see tumor-detection {name} --help{hint}"
            )
        is_switch = values[flag] == "bool" or isinstance(values[flag], bool)
        may_be_empty = flag in known and known[flag].default == ""
        if not (all(split_values(value)) or may_be_empty) or (value is None and not is_switch):
            found = "" if value is None else ", but got an empty one"
            raise InputError(f"--{flag} needs a value{found}; see tumor-detection {name} --help")
    for parameter in known.values():
        if parameter.default is parameter.empty and parameter.name not in flags:
            raise InputError(f"{name} needs --{parameter.name}; see tumor-detection {name} --help")


def flag_name(argument: str) -> str:
    """The name of a flag: ``--assume-mpp=0.25`` is ``assume_mpp``; MONAI's ``a::b`` is ``a#b``."""
    return argument[2:].split("=", maxsplit=1)[0].replace("-", "_").replace("::", "#")


def join_values(arguments: Sequence[str], command: Callable[..., Any]) -> dict[str, str | None]:
    """Gather the values that follow each flag into one text, so that ``--slides a b`` is a list of two.

    A shell leaves the ``~`` of ``--output=~/maps`` as it is; here it becomes the home folder, as after a space.

    Args:
        arguments: what follows the command.
        command: the function; ``-s`` is its only flag that starts with s.

    Returns:
        The text of each flag for its parser (see `parsers`), None without a value.

    Raises:
        InputError: if a value follows no flag, a flag is given twice, or ``~name`` is no user.
    """
    joined: dict[str, list[str]] = {}
    flag = ""
    for argument in arguments:
        long = _long_form(argument, command)
        if long.startswith("--"):
            flag = flag_name(long)
            if flag in joined:
                raise InputError(f"--{flag} is given twice; give it once, with several values where it takes them")
            _, equals, value = long.partition("=")
            joined[flag] = [_expanded(value, flag)] if equals else []
        elif not flag:
            raise InputError(f"unexpected argument {argument!r}; a value follows its flag, as in --slides PATH")
        else:
            joined[flag].append(_expanded(argument, flag))
    return {flag: _SEPARATOR.join(values) if values else None for flag, values in joined.items()}


def _expanded(value: Any, flag: str = "") -> Any:
    """A value, or a list of values, in which a ``~`` or ``~user`` at the beginning is that user's home folder."""
    if isinstance(value, (list, tuple)):
        return type(value)(_expanded(item) for item in value)
    if not isinstance(value, str) or not value.startswith("~") or flag in _IS_TEXT:
        return value
    path = os.path.expanduser(value)
    if path.startswith("~"):
        raise InputError(f"{value}: expected ~ or ~user of a user of this machine; write the whole path")
    return path


def split_values(text: str | None) -> list[str]:
    """The values that `join_values` joined."""
    return [] if text is None else text.split(_SEPARATOR)


def parsers(command: Callable[..., Any], flags: Iterable[str]) -> dict[str, Callable[[str], Any]]:
    """A parser for each flag: by the parameter's annotation, so that a slide name such as 001 stays text, or an id's.

    Returns:
        Keyword arguments for `fire.decorators.SetParseFns`.
    """
    parameters = inspect.signature(command).parameters
    found: dict[str, Callable[[str], Any]] = {}
    for flag in flags:
        parameter = parameters.get(flag)
        if parameter is not None and parameter.kind is not parameter.VAR_KEYWORD:
            found[flag] = _parser(parameter)
        else:
            found[flag] = _parse_paths if _IS_PATH.search(flag) else parse_override
    return found


def parse_override(value: str) -> Any:
    """Parse the value of a config id: a Python literal where it is one, else the text.

    Several values are a list. A number with a leading zero stays text, since it is a name.

    Raises:
        InputError: for a number with underscores, which Python takes and `files.read_number` does not.
    """
    parts = [_literal(part) for part in split_values(value)]
    return parts if len(parts) > 1 else parts[0]


def _literal(value: str) -> Any:
    lowered = value.lower()
    if lowered in ("true", "false", "null", "none"):
        return {"true": True, "false": False}.get(lowered)
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # what it raises for other text
        return value
    text = value.lstrip(" \t")
    for node in ast.walk(ast.parse(text, mode="eval")):
        source = ast.get_source_segment(text, node) or ""
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and "_" in source:
            raise InputError(f"expected a number, found {source}; write {source.replace('_', '')}, or quote a name")
    return _expanded(found)


def _parse_paths(value: str) -> Any:
    parts = split_values(value)
    if len(parts) > 1:
        return parts
    return None if value.lower() in ("null", "none") else value


def _parser(parameter: inspect.Parameter) -> Callable[[str], Any]:
    name, annotation = parameter.name, str(parameter.annotation).removesuffix(" | None")

    def parse(value: str) -> Any:
        parts = split_values(value)
        if annotation == "list[str]":
            return parts
        if len(parts) > 1:
            raise InputError(f"--{name} takes one value, but got {' '.join(parts)}")
        try:
            if annotation == "bool":
                return {"true": True, "false": False}[value.lower()]
            if annotation in ("int", "float") and not math.isfinite(read_number(value)):
                raise ValueError
            return {"int": int, "float": float}.get(annotation, str)(value)
        except (ValueError, KeyError):
            kinds = {"int": "a whole number", "float": "a number", "bool": "true or false"}
            raise InputError(f"--{name} must be {kinds[annotation]}, but got {value!r}") from None

    return parse


def _long_form(argument: str, command: Callable[..., Any]) -> str:
    """``--output`` for ``-o``, as the help offers it where only one flag starts so."""
    short, equals, value = argument.partition("=")
    parameters = inspect.signature(command).parameters.values()
    names = [item.name for item in parameters if short == f"-{item.name[0]}" and item.kind is not item.VAR_KEYWORD]
    return f"--{names[0]}{equals}{value}" if len(names) == 1 else argument
