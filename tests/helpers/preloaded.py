"""A process that has imported MONAI, PyTorch and Ignite and done nothing with them, off which others are forked.

Each then saves the seconds that the imports take. This process itself will not do: where its autograd has threads, as
they may be here, no process can be forked that trains.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

MODULES = ["monai.bundle"]

_server_of: int | None = None
"""Process that has started its server here."""


def fork_context() -> ForkServerContext:
    """The context whose processes are forked off that one; it is started if need be.

    A server that the code under test has started, as a review does, has not imported these: it is stopped.
    """
    global _server_of
    context = multiprocessing.get_context("forkserver")
    if _server_of != os.getpid():
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        context.set_forkserver_preload(MODULES)
        forkserver.ensure_running()
        _server_of = os.getpid()
    return context


def as_by_itself() -> None:
    """From now on this process starts others in Python's usual way, as one that nobody forked does.

    Else it would start a forkserver of its own for its readers, and each would import PyTorch and MONAI anew.
    """
    multiprocessing.set_start_method(None, force=True)
