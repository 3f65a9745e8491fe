"""The one kind of error that a user can mend."""

from __future__ import annotations


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
