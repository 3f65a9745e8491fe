"""A process that has imported MONAI, PyTorch and Ignite and done nothing with them, off which others are forked.

Each then saves the seconds that the imports take. This process itself will not do: where its autograd has threads, as
they may be here, no process can be forked that trains.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

MODULES = ["monai.bundle"]


def fork_context() -> ForkServerContext:
    """The context whose processes are forked off that one; it is started if need be."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    return context


def as_by_itself() -> None:
    """From now on this process starts others in Python's usual way, as one that nobody forked does.

    Else it would start a forkserver of its own for its readers, and each would import PyTorch and MONAI anew.
    """
    multiprocessing.set_start_method(None, force=True)
