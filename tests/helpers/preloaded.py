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
