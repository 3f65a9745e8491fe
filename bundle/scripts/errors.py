"""The one kind of error that a user can mend."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OF_A_CONFIG = re.compile(
    r"detected circular references|is not defined in the config content|query key: |"
    r"Cannot locate class or function path|"
    r"Failed to evaluate (?!.*\.(?:run|finish)\(\))"  # what goes wrong while it runs says nothing of the config
)
_OF_A_COMPONENT = re.compile(r"Failed to instantiate component '(.+)' with keywords: (\S*)")
_OF_THE_OTHERS = re.compile(r"\bgloo/|\bNCCL\b|\bTCPStore\b")  # how torch tells that it lost another process


class InputError(ValueError):
    """A problem in what the user gave: a file, a folder, a value, an id.

    The message is one line that names the file or key, what was expected, what was found and the way out.
    The command line prints it without a traceback and exits with status 1.
    """


def first_input_error(error: BaseException | None) -> InputError | None:
    """Return the `InputError` behind an exception, following causes and contexts, or None.

    MONAI's config parser and DataLoader workers wrap what a component raises; this finds the line worth printing.
    """
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def root_cause(error: BaseException) -> BaseException:
    """The exception at the start of a chain of causes: MONAI's ``Failed to instantiate`` hides what failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _of_config(error: BaseException) -> str | None:
    """What MONAI says of an id or a component of a config that cannot be made, with what went wrong there."""
    said, root = None, root_cause(error)
    cause: BaseException | None = error
    while cause is not None:
        text = one_line(cause)
        if _OF_A_CONFIG.search(text):
            return f"config: {text:.200}{'' if cause is root else f' ({one_line(root):.120})'}; mend this id"
        made = _OF_A_COMPONENT.search(text)
        if made is not None:
            said = (
                f"config: {made[1]} cannot be made with the values given for {made[2]} "
                f"({type(root).__name__}: {one_line(root):.200}); mend them, or see with --debug where"
            )
        cause = cause.__cause__
    return said


def one_line(error: BaseException) -> str:
    """The message of an error as one line.

    A DataLoader worker's error comes back with the worker's traceback as its text; the line that matters is its last.
    """
    text = str(error)
    if "Caught " in text and "Original Traceback" in text:
        text = text.rsplit(f"{type(error).__name__}: ", maxsplit=1)[-1]
    return " ".join(text.split())


def few(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def explain(error: BaseException) -> str:
    """What went wrong, as one line: the `InputError` behind an exception, else the file, else what failed first."""
    known = first_input_error(error)
    if known is not None:
        return one_line(known)
    root = root_cause(error)
    if isinstance(root, OSError) and root.filename:
        return f"{root.filename}: {root.strerror}; check the path, its rights and the space"
    if isinstance(root, RuntimeError) and _OF_THE_OTHERS.search(str(root)):
        return f"another process of this run ended or hangs, and its own line says why ({one_line(root):.120})"
    if (of_config := _of_config(error)) is not None:
        return of_config
    where = "" if root is error else f" in: {one_line(error):.90}"
    return f"{type(root).__name__}: {one_line(root)} (unexpected{where}; run again with --debug to see where)"
