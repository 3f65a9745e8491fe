"""Slides from object storage, copied to a folder of this machine that never grows beyond its limit.

Processes share the folder. Each copy lies in a folder of its own, named by address and content, with a lock file: held
exclusively while the copy is made, and shared while the slide is in use. What nobody holds is removed to make room,
the least recently used first. Locks end with their process, however it ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import make_output_dir, write_json
from .remote import RemoteFile, check_url, describe, file_name, open_store
from .transfer import copy_file

if sys.platform != "win32":  # where nothing is staged
    import fcntl

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
WAIT_SECONDS = 60.0


class SlideCache:
    """Copies of slides on this machine.

    Args:
        path: the folder; None takes ``pathology-tumor-detection/slides`` in ``XDG_CACHE_HOME`` or ``~/.cache``.
        limit_gb: what the copies may take in all, in GB (1e9 bytes), as far as the disk has room.
        wait_seconds: how long to wait for room that other processes hold.

    Raises:
        InputError: if the limit is not positive.
    """

    def __init__(
        self, path: str | Path | None = None, limit_gb: float = 100.0, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        if isinstance(limit_gb, bool) or not isinstance(limit_gb, (int, float)) or not limit_gb > 0:
            raise InputError(f"cache_gb must be a positive number of GB, but got {limit_gb!r}")
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.path = Path(path) if path is not None else home / "pathology-tumor-detection" / "slides"
        self.limit = int(limit_gb * 1e9)
        self.wait_seconds = wait_seconds
        self._held: dict[str, tuple[Path, int]] = {}
        self._ahead: dict[str, threading.Thread] = {}
        self._mutex = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Another process holds nothing."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_held", "_ahead", "_mutex")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _held={}, _ahead={}, _mutex=threading.RLock())

    def fetch(self, url: str) -> Path:
        """The slide's copy, made if it is missing or the slide changed; in use until `release`.

        Raises:
            InputError: if the slide cannot be copied, or there is no room for it.
        """
        self._wait_for(url)
        return self._fetch(url, self.wait_seconds)

    def fetch_ahead(self, url: str) -> None:
        """Begin to copy a slide that is needed next, if there is room; what goes wrong is told by `fetch`."""

        def work() -> None:
            with suppress(InputError):
                self._fetch(url, 0)

        with self._mutex:
            if url not in self._ahead and url not in self._held:
                self._ahead[url] = threading.Thread(target=work, name=f"stage {url}", daemon=True)
                self._ahead[url].start()

    def release(self, url: str) -> None:
        """The slide is no longer in use: its copy may be removed."""
        self._wait_for(url)
        with self._mutex:
            held = self._held.pop(url, None)
        if held is not None:
            _unlock(held[1])

    def _wait_for(self, url: str) -> None:
        with self._mutex:
            ahead = self._ahead.pop(url, None)
        if ahead is not None:
            ahead.join()

    def _fetch(self, url: str, wait_seconds: float) -> Path:
        with self._mutex:
            if url in self._held:
                return self._held[url][0]
        name = file_name(check_url(url))
        store = open_store(url)
        file = describe(url, store)
        if file.size > self.limit:
            raise InputError(
                f"{url}: has {file.size / 1e9:.3f} GB, but the cache {self.path} may hold {self.limit / 1e9:.3f} GB; "
                "raise cache_gb, to twice the largest slide at least"
            )
        make_output_dir(self.path)
        folder = self.path / _key(file)
        target = folder / name
        lock = self._acquire(file, folder, target, wait_seconds)
        try:
            if not target.exists():
                verified = copy_file(file, target, store)
                logger.info("%s: copied to %s, verified by %s", url, target, verified)
                with self._global_lock():
                    fcntl.flock(lock, fcntl.LOCK_SH)
        except BaseException:
            _unlock(lock)
            raise
        with self._mutex:
            self._held[url] = (target, lock)
        return target

    def _acquire(self, file: RemoteFile, folder: Path, target: Path, wait_seconds: float) -> int:
        """A lock on the copy: shared if it is there, else exclusive, with room reserved for it."""
        deadline = time.monotonic() + wait_seconds
        while True:
            with self._global_lock():
                folder.mkdir(exist_ok=True)
                lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
                is_there = target.exists()
                is_free = _try_lock(lock, fcntl.LOCK_SH if is_there else fcntl.LOCK_EX)
                if is_free and (is_there or self._make_room(file, folder)):
                    os.utime(folder / ".lock")  # used now
                    return lock
                _unlock(lock)
            if is_free and time.monotonic() >= deadline:
                raise InputError(
                    f"{file.url}: {self.path} has no room for its {file.size / 1e9:.3f} GB beside the slides in use; "
                    "raise cache_gb or free the disk: each process needs room for two slides, one in work and the next"
                )
            time.sleep(_POLL_SECONDS)

    def _make_room(self, file: RemoteFile, folder: Path) -> bool:
        """Reserve room for a copy, removing others; called under the global lock."""
        sizes: dict[Path, int] = {}
        for entry in self.path.glob("*/entry.json"):
            with suppress(OSError, ValueError, TypeError, KeyError):  # one that is half removed takes no room
                sizes[entry.parent] = int(json.loads(entry.read_text(encoding="utf-8"))["size"])
        sizes.pop(folder, None)
        oldest_first = sorted(sizes, key=_last_used)

        def is_room() -> bool:
            copied = sum(path.stat().st_size for path in folder.glob("*.part"))
            return (
                sum(sizes.values()) + file.size <= self.limit
                and shutil.disk_usage(self.path).free >= file.size - copied
            )

        while not is_room():
            while oldest_first and not _remove_unused(oldest_first[0]):
                del oldest_first[0]
            if not oldest_first:
                return False
            del sizes[oldest_first.pop(0)]
        write_json(folder / "entry.json", {"url": file.url, "size": file.size, "etag": file.etag})
        return True

    @contextmanager
    def _global_lock(self) -> Iterator[None]:
        lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            _unlock(lock)


def _key(file: RemoteFile) -> str:
    content = "\n".join(map(str, (file.url, file.size, file.etag, file.modified_ns)))
    return hashlib.sha256(content.encode()).hexdigest()[:24]


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(lock: int) -> None:
    fcntl.flock(lock, fcntl.LOCK_UN)  # closing alone leaves it to the readers that were forked meanwhile
    os.close(lock)


def _last_used(folder: Path) -> float:
    try:
        return (folder / ".lock").stat().st_mtime
    except OSError:
        return 0.0


def _remove_unused(folder: Path) -> bool:
    """Remove a copy unless a process uses or makes it."""
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(lock, fcntl.LOCK_EX):
            return False
        shutil.rmtree(folder)
    finally:
        _unlock(lock)
    return True
