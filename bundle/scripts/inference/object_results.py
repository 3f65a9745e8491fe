"""The place in an object store that inference writes into: what `folder_results.ResultFolder` is on disk."""

from __future__ import annotations

import errno
import io
import json
import threading
import time
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..storage.remote import check_url, open_store, store_errors
from .freshness import DAMAGED, INTERRUPTED, why_outdated

RENEW_SECONDS = 5.0
"""How often a run says that it is alive. Another run that sees no sign for three times as long takes the place over."""

_HEADER_BYTES = 256  # of a map's file; numpy pads headers to multiples of 64


class ObjectResults:
    """Maps and their sidecars as objects, each put whole; an old sidecar goes before the new map comes.

    Stores have no lock that ends with its holder. The object ``.lock`` is renewed as long as a run lives.

    Args:
        url: ``s3://bucket/folder``.

    Raises:
        InputError: if the address is none that can be written.
    """

    def __init__(self, url: str) -> None:
        self.path = check_url(url)
        if not self.path.lower().startswith("s3://"):
            raise InputError(f"output_dir {url}: expected a folder or s3://bucket/folder")
        self._renewal: threading.Thread | None = None
        self._ended = threading.Event()

    def lock(self) -> None:
        """Keep other runs out, until `unlock`, or until the process ended a quarter of a minute ago.

        Raises:
            InputError: if another run holds the place, or it cannot be written.
        """
        store, url = open_store(self.path), self._url(".lock")
        with store_errors(self.path):
            try:
                store.pipe_file(url, _sign(), mode="create")
            except FileExistsError:
                self._wait_for_silence(store, url)
                store.pipe_file(url, _sign())
        self._ended.clear()
        self._renewal = threading.Thread(target=self._renew, daemon=True)
        self._renewal.start()

    def unlock(self) -> None:
        """Let other runs in."""
        if self._renewal is None:
            return
        self._ended.set()
        self._renewal.join()
        self._renewal = None
        with store_errors(self.path):
            open_store(self.path).rm_file(self._url(".lock"))

    def write(self, name: str, prob_map: npt.NDArray[np.float32], sidecar: dict[str, Any]) -> None:
        """Write a map and its sidecar in place of older ones.

        Raises:
            InputError: if the store refuses.
        """
        content = io.BytesIO()
        np.save(content, prob_map, allow_pickle=False)
        self.remove(name)
        with store_errors(self.path):
            open_store(self.path).pipe_file(self._url(f"{name}.npy"), content.getvalue())
        self._write_json(f"{name}.json", sidecar)

    def remove(self, name: str) -> None:
        """Remove a map and its sidecar, if they are there.

        Raises:
            InputError: if the store refuses.
        """
        store = open_store(self.path)
        with store_errors(self.path):
            for suffix in (".json", ".npy"):  # in this order
                store.rm_file(self._url(f"{name}{suffix}"))

    def outdated(self, name: str, expected: dict[str, Any]) -> str | None:
        """Why a slide must be computed; see `folder_results.ResultFolder.outdated`.

        Raises:
            InputError: if the store cannot be reached.
        """
        store = open_store(self.path)
        with store_errors(self.path):
            try:
                sidecar = store.cat_file(self._url(f"{name}.json"))
            except FileNotFoundError:
                return INTERRUPTED if store.exists(self._url(f"{name}.npy")) else ""
            return why_outdated(sidecar, self._map_shape(store, f"{name}.npy"), expected)

    def write_summary(self, content: dict[str, Any]) -> None:
        """Write ``run.json``.

        Raises:
            InputError: if the store refuses.
        """
        self._write_json("run.json", content)

    def read_sidecar(self, name: str) -> dict[str, Any]:
        """The sidecar of a map that is up to date.

        Raises:
            InputError: if it is damaged.
        """
        with store_errors(self._url(f"{name}.json")):
            text = open_store(self.path).cat_file(self._url(f"{name}.json"))
        try:
            content: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise InputError(f"{self._url(name)}.json: {DAMAGED}; remove it") from error
        return content

    def _url(self, name: str) -> str:
        return f"{self.path}/{name}"

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        with store_errors(self.path):
            open_store(self.path).pipe_file(self._url(name), text.encode())

    def _map_shape(self, store: Any, name: str) -> tuple[int, ...] | None:
        """Shape that a map's header states, None if the map is not there or not of that size."""
        try:
            head = io.BytesIO(store.cat_file(self._url(name), start=0, end=_HEADER_BYTES))
            version = np.lib.format.read_magic(head)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(head)
            size = int(store.info(self._url(name))["size"])
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:  # an empty object has no range
                return None
            raise
        return shape if size == head.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize else None

    def _wait_for_silence(self, store: Any, url: str) -> None:
        """Return when the run that holds the place gave no sign for long enough."""
        seen = self._read_sign(store, url)
        deadline = time.monotonic() + 3 * RENEW_SECONDS
        while time.monotonic() < deadline and seen is not None:
            time.sleep(RENEW_SECONDS / 2)
            sign = self._read_sign(store, url)
            if sign is not None and sign != seen:
                raise InputError(
                    f"output_dir {self.path}: another run is writing there; wait for it, or choose another place"
                )
            seen = sign

    @staticmethod
    def _read_sign(store: Any, url: str) -> bytes | None:
        try:
            found: bytes = store.cat_file(url)
        except FileNotFoundError:
            return None
        return found

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            try:
                open_store(self.path).pipe_file(self._url(".lock"), _sign())
            except Exception:  # the next one may come through; what matters fails by itself
                continue


def _sign() -> bytes:
    return uuid.uuid4().hex.encode()
