"""What native code prints while it reads, where printing is its only way to tell of damage."""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_OUTPUTS = (1, 2)
_DAMAGE = re.compile(
    rb"^.*(?:error|failed|corrupt|cannot|unsupported|invalid|not enough).*?(?: while\n.*)?(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
"""Lines that tell of damage; libjpeg's go on after ``while``."""

_HARMLESS = re.compile(
    rb"^.*compression support is not configured\.\n"  # cuCIM's libtiff, where cuCIM decodes by itself
    rb"|^\[Warning\] Loading image\(.*\) with a slow-path.*\n",  # cuCIM where it leaves gray to libtiff
    re.MULTILINE,
)
_CAPTURE_LOCK = threading.Lock()
if hasattr(os, "register_at_fork"):  # a fork during a capture would leave the child a lock that nobody releases
    os.register_at_fork(
        before=_CAPTURE_LOCK.acquire, after_in_parent=_CAPTURE_LOCK.release, after_in_child=_CAPTURE_LOCK.release
    )


@contextmanager
def messages_as_errors() -> Iterator[None]:
    """Raise what native code prints inside the block, if it tells of damage; pass on the rest.

    cuCIM reports a tile that it cannot decode by a line of C's printf and by nothing else. The outputs are the whole
    process's: what others print meanwhile comes late. Inference therefore reads in processes that do nothing else.

    Raises:
        OSError: if a line tells of damage.
    """
    damage: list[bytes] = []
    with _CAPTURE_LOCK, tempfile.TemporaryFile() as capture:
        libc = ctypes.CDLL(None)
        libc.fflush(None)
        saved = [os.dup(descriptor) for descriptor in _OUTPUTS]
        try:
            for descriptor in _OUTPUTS:
                os.dup2(capture.fileno(), descriptor)
            yield
        finally:
            libc.fflush(None)
            for descriptor, original in zip(_OUTPUTS, saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
            capture.seek(0)
            printed = _HARMLESS.sub(b"", capture.read())
            damage = _DAMAGE.findall(printed)
            os.write(2, _DAMAGE.sub(b"", printed))
    if damage:
        raise OSError(" ".join(b" ".join(damage).decode(errors="replace").split()))
