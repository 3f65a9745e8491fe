"""What the processes of a loader leave for the one that they read for, which outlives them.

Memory and a file that a fork shares: a process that a decoder ends says nothing any more, but what it wrote stays.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from pathlib import Path

_NUM_SLOTS, _SLOT_BYTES = 1024, 2048  # a slot by process id; neighbors get different ones
_HEAD = struct.Struct("<qH")
_slots = mmap.mmap(-1, _NUM_SLOTS * _SLOT_BYTES)
# Appended to, so that lines of several processes do not mix; open as long as the process lives.
_lines = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115
_num_read = 0
_is_reader = False


def become_reader() -> None:
    """From now on this process reads for the one that started it."""
    global _is_reader
    _is_reader = True


def note_slide(path: str | Path) -> None:
    """Write down which slide is being read, if this is a reader."""
    if _is_reader:
        name = os.fsencode(path)[: _SLOT_BYTES - _HEAD.size]
        start = os.getpid() % _NUM_SLOTS * _SLOT_BYTES
        _slots[start : start + _HEAD.size + len(name)] = _HEAD.pack(os.getpid(), len(name)) + name


def slide_of(process: int) -> str | None:
    """The slide that a reader read last, by its process id, or None if it wrote nothing."""
    start = process % _NUM_SLOTS * _SLOT_BYTES
    found, length = _HEAD.unpack_from(_slots, start)
    if found != process:
        return None
    return os.fsdecode(_slots[start + _HEAD.size : start + _HEAD.size + length])


def write_line(line: str) -> bool:
    """Leave a line for the process that this one reads for; false if it reads for none."""
    if _is_reader:
        _lines.write(line.replace("\n", " ").encode("utf-8", "surrogateescape") + b"\n")
    return _is_reader


def read_lines() -> list[str]:
    """The lines that readers left since this was last asked."""
    global _num_read
    size = os.fstat(_lines.fileno()).st_size
    text = os.pread(_lines.fileno(), size - _num_read, _num_read)
    whole = text[: text.rfind(b"\n") + 1]
    _num_read += len(whole)
    return whole.decode("utf-8", "surrogateescape").splitlines()
