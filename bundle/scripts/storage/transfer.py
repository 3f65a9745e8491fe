"""Copies a file from a store in ranges: a broken transfer goes on where it stopped, and the copy is verified."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError, counted
from .remote import RemoteFile, describe, read_ranges

logger = logging.getLogger(__name__)

CHUNK_BYTES = 8 << 20
NUM_AT_ONCE = 4
MAX_FAILURES = 5
"""In a row, without a byte in between."""

_FIRST_PAUSE = 0.25
_TRIAL_BYTES = 1 << 20
_SHA256_DIGITS = 64


def copy_file(
    file: RemoteFile,
    target: Path,
    store: Any,
    progress: Callable[[int], object] | None = None,
    checksum: str | None = None,
) -> str:
    """Copy a file; it appears under its name when it is whole and verified.

    What was copied stays as ``<target>.part`` when the copy fails; the next call goes on from there, so long as the
    store tells by an ETag or a date that the file is the same.

    Args:
        file: what to copy.
        target: where to; its folder exists.
        store: see `remote.open_store`.
        progress: told of each piece's bytes; less than zero where a piece is given up.
        checksum: the content's MD5 or SHA-256 from elsewhere, over what the store says.

    Returns:
        What was verified: ``checksum``, ``md5``, ``md5 of parts`` or ``size``.

    Raises:
        InputError: if the transfer breaks again and again, the file changes meanwhile, or its bytes are not those
            that the store has.
    """
    told = progress or (lambda _: None)
    part = target.with_name(f"{target.name}.part")
    if not (file.etag or file.modified_ns):
        part.unlink(missing_ok=True)
    try:
        _copy_ranges(file, part, store, told)
        now = describe(file.url, store)
        if now[:4] != file[:4]:
            part.unlink()
            raise InputError(f"{file.url}: was changed while it was copied; run again when it is complete")
        verified = _verify(file, part, checksum)
        os.utime(part, ns=(time.time_ns(), file.modified_ns))
        os.replace(part, target)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{target}: cannot be written ({reason}); check the folder's space and rights") from error
    return verified


def read_beginning(url: str, size: int, store: Any) -> int:
    """Read the first bytes of a file as `copy_file` does, to see how long it takes, and compute their checksum.

    Args:
        url: the file's address.
        size: of the file in bytes.
        store: see `remote.open_store`.

    Returns:
        How many bytes were read, up to 4 MiB.

    Raises:
        InputError: if they do not come.
    """
    stop = min(size, NUM_AT_ONCE * _TRIAL_BYTES)
    ranges = [(start, min(start + _TRIAL_BYTES, stop)) for start in range(0, stop, _TRIAL_BYTES)]
    for piece in read_ranges(store, url, ranges):
        if isinstance(piece, Exception):
            reason = " ".join(str(piece).split()) or type(piece).__name__
            raise InputError(f"{url}: cannot be read ({reason}); try again, or give another source")
        _md5(piece)
    return stop


def _copy_ranges(file: RemoteFile, part: Path, store: Any, told: Callable[[int], object]) -> None:
    failures = 0
    with open(part, "ab") as copy:
        offset = copy.tell()
        if offset > file.size:
            copy.truncate(0)
            offset = 0
        if offset:
            logger.info("%s: goes on at byte %d of %d", file.url, offset, file.size)
            told(offset)
        while offset < file.size:
            starts = range(offset, min(offset + NUM_AT_ONCE * CHUNK_BYTES, file.size), CHUNK_BYTES)
            ranges = [(start, min(start + CHUNK_BYTES, file.size)) for start in starts]
            if failures:  # a server that breaks off may bear one request
                ranges = ranges[:1]
            got = 0
            for (start, stop), piece in zip(ranges, read_ranges(store, file.url, ranges), strict=True):
                if isinstance(piece, Exception):
                    reason: object = piece
                    break
                if len(piece) != stop - start:
                    if len(piece) == file.size:
                        raise InputError(f"{file.url}: the server does not serve ranges; copy the file to a folder")
                    reason = f"{counted(len(piece), 'byte')} came instead of {stop - start}"
                    break
                copy.write(piece)
                told(len(piece))
                got += len(piece)
            else:
                reason = None
            offset += got
            failures = 0 if got or reason is None else failures + 1
            if reason is not None:
                _bear(file, offset, failures, reason)
        copy.flush()
        os.fsync(copy.fileno())


def _bear(file: RemoteFile, offset: int, failures: int, reason: object) -> None:
    text = " ".join(str(reason).split()) or type(reason).__name__
    if isinstance(reason, (FileNotFoundError, PermissionError)) or failures >= MAX_FAILURES:
        raise InputError(
            f"{file.url}: the transfer broke off at byte {offset} of {file.size} ({text}); run again, it goes on there"
        )
    logger.info("%s: the transfer broke off at byte %d (%s), again", file.url, offset, text)
    time.sleep(_FIRST_PAUSE * 2 ** max(failures - 1, 0))


def _verify(file: RemoteFile, part: Path, checksum: str | None) -> str:
    size = part.stat().st_size
    if size != file.size:
        raise InputError(f"{file.url}: {size} bytes were copied, but expected {file.size}; run again")
    expected = checksum or file.md5
    if not expected:
        return "size"
    found = file_checksum(part, checksum) if checksum else file_md5(part, file.part_size)
    if found != expected:
        part.unlink()
        raise InputError(
            f"{file.url}: damaged, its {checksum_kind(expected)} is {found}, but expected {expected}; run again, or "
            "tell who keeps it"
        )
    if checksum:
        return "checksum"
    return "md5 of parts" if file.part_size else "md5"


def checksum_kind(checksum: str) -> str:
    """What a checksum in hexadecimal is, by its length: ``MD5`` or ``SHA-256``."""
    return "SHA-256" if len(checksum) == _SHA256_DIGITS else "MD5"


def file_checksum(path: Path, like: str) -> str:
    """The checksum of a file, of the same kind as another one, in lower case."""
    if checksum_kind(like) == "MD5":
        return file_md5(path)
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def file_md5(path: Path, part_size: int = 0) -> str:
    """MD5 of a file, or in S3's form of its parts.

    Args:
        path: the file.
        part_size: bytes of each part but the last; 0 takes the file as a whole.
    """
    whole, digests = _md5(), []
    with open(path, "rb") as file:
        while chunk := file.read(part_size or 1 << 20):
            if part_size:
                digests.append(_md5(chunk).digest())
            else:
                whole.update(chunk)
    return f"{_md5(b''.join(digests)).hexdigest()}-{len(digests)}" if part_size else str(whole.hexdigest())


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)
