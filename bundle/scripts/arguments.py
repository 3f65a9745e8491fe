"""Flags of the command line: which exist, how many values they take, and of what type."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import read_json

_SEPARATOR = "\n"  # between the values of one flag; it cannot be typed on a command line by accident


def check_flags(arguments: Sequence[str], commands: Mapping[str, Callable[..., Any]], config: Path | None) -> None:
    """Refuse unknown commands and flags, with the nearest known one, and missing flags.

    Args:
        arguments: the command and its arguments.
        commands: the functions by name.
        config: the config whose ids are flags too, or None.

    Raises:
        InputError: if a command, flag or config id does not exist, or a required flag is missing.
    """
    name = arguments[0]
    if name not in commands:
        raise InputError(f"no command {name!r}{_nearest(name, commands)}; see tumor-detection --help")
    parameters = inspect.signature(commands[name]).parameters
    given = [flag_name(argument) for argument in arguments[1:] if argument.startswith("--")]
    ids = {} if config is None else read_json(config)
    for flag in given:
        if flag in parameters and parameters[flag].kind is not inspect.Parameter.VAR_KEYWORD:
            continue
        if config is not None and (flag == "config_file" or _has_id(ids, flag, arguments)):
            continue
        known = [*ids, "config_file"] if ids else list(parameters)
        raise InputError(f"{name} has no flag or id --{flag}{_nearest(flag, known)}; see tumor-detection {name} --help")
    for parameter in parameters.values():
        is_required = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if is_required and parameter.name not in given:
            raise InputError(f"{name} needs --{parameter.name}; see tumor-detection {name} --help")


def flag_name(argument: str) -> str:
    """The name of a flag: ``--assume-mpp=0.25`` is ``assume_mpp``."""
    return argument[2:].split("=", maxsplit=1)[0].replace("-", "_")


def join_values(arguments: Sequence[str]) -> list[str]:
    """Join the values that follow a flag into one, so that ``--slides a b`` is a list of two.

    Raises:
        InputError: if a value follows no flag.
    """
    joined: list[str] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            joined.append(f"--{flag_name(name)}{equals}{value}")
        elif not joined:
            raise InputError(f"unexpected argument {argument!r}; values follow a flag, as in --slides {argument}")
        else:
            joined[-1] += f"{_SEPARATOR if '=' in joined[-1] else '='}{argument}"
    return joined


def parsers(command: Callable[..., Any]) -> dict[str, Any]:
    """A parser for each parameter of a command, by its annotation; slide names such as 001 stay strings.

    Returns:
        Keyword arguments for `fire.decorators.SetParseFns`; ``default`` parses the ids of a config.
    """
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        found[name] = _parser(name, str(parameter.annotation).removesuffix(" | None"))
    return found


def parse_override(value: str) -> Any:
    """Parse the value of a config id: a Python literal where it is one, else the text.

    Several values are a list. A number with a leading zero stays text, since it is a name.
    """
    parts = value.split(_SEPARATOR)
    if len(parts) > 1:
        return parts
    lowered = value.lower()
    if lowered in ("true", "false", "null", "none"):
        return {"true": True, "false": False}.get(lowered)
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _parser(name: str, annotation: str) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        parts = value.split(_SEPARATOR)
        if annotation == "list[str]":
            return parts
        if len(parts) > 1:
            raise InputError(f"--{name} takes one value, but got {' '.join(parts)}")
        try:
            if annotation == "bool":
                return {"true": True, "false": False}[value.lower()]
            return {"int": int, "float": float}.get(annotation, str)(value)
        except (ValueError, KeyError):
            kinds = {"int": "a whole number", "float": "a number", "bool": "true or false"}
            raise InputError(f"--{name} must be {kinds[annotation]}, but got {value!r}") from None

    return parse


def _has_id(ids: Mapping[str, Any], flag: str, arguments: Sequence[str]) -> bool:
    found: Any = ids
    for part in flag.split("#"):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return any(flag_name(argument) == "config_file" for argument in arguments if argument.startswith("--"))
    return True


def _nearest(name: str, known: Any) -> str:
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""
