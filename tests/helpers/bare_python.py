"""Makes a process that has imported nothing of this project unable to import it, even where it is installed."""

from __future__ import annotations

import os
import sys
import sysconfig

from helpers.forked_commands import fork_torchrun

DROPPED = ("PYTHONPATH", "CUFILE_LOGFILE_PATH", "CUFILE_ENV_PATH_JSON")
"""Settings of this project and its tests."""


def be_bare() -> None:
    """Keep of the import path the standard library and the folders of packages, without editable installs in them."""
    assert "scripts" not in sys.modules
    for name in DROPPED:
        os.environ.pop(name, None)
    standard = sysconfig.get_path("stdlib")
    sys.path[:] = [path for path in sys.path if path.startswith(standard) or path.endswith("-packages")]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]


def be_bare_with_torchrun() -> None:
    """The same, and ``torchrun`` is forked off it."""
    be_bare()
    fork_torchrun()
