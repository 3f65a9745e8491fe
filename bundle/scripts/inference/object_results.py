"""The place in an object store that inference writes into: what `folder_results.ResultFolder` is on disk."""

from __future__ import annotations

import errno
import io
import json
import secrets
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..quality.files import SUFFIX
from ..storage.remote import check_url, open_store, store_errors
from .folder_results import NEW
from .freshness import INTERRUPTED, why_outdated

RENEW_SECONDS = 5.0
"""How often a run says that it is alive. Another run that sees no sign for three times as long takes the place over."""

_HEADER_BYTES = 256  # of a map's file; numpy pads headers to multiples of 64


class ObjectResults:
    """Maps and their sidecars as objects, each put whole; see `folder_results.ResultFolder`.

    Where a map is there already, the new one and its sidecar are first put under hidden names, and copied when both are
    there. Stores have no lock that ends with its holder. The object ``.lock`` is renewed as long as a run lives.

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

        What a run that was killed left to do is done.

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
        try:
            self._finish_killed_runs(store)
        except BaseException:
            self.unlock()
            raise

    def unlock(self) -> None:
        """Let other runs in."""
        if self._renewal is None:
            return
        self._ended.set()
        self._renewal.join()
        self._renewal = None
        with store_errors(self.path):
            open_store(self.path).rm_file(self._url(".lock"))

    def write(
        self, name: str, prob_map: npt.NDArray[np.float32], sidecar: dict[str, Any], artifacts: bytes | None = None
    ) -> None:
        """Write a map and its sidecar in place of older ones, which stay until both are in the store.

        The artifact mask comes first, see `folder_results.ResultFolder.write`.

        Raises:
            InputError: if the store refuses.
        """
        content = io.BytesIO()
        np.save(content, prob_map, allow_pickle=False)
        store = open_store(self.path)
        with store_errors(self.path):
            if artifacts is not None:
                store.pipe_file(self._url(f"{name}{SUFFIX}"), artifacts)
            elif store.exists(self._url(f"{name}{SUFFIX}")):
                store.rm_file(self._url(f"{name}{SUFFIX}"))
            is_first = not store.exists(self._url(f"{name}.json"))
            put = name if is_first else f".{name}.{secrets.token_hex(8)}.new"
            store.pipe_file(self._url(f"{put}.npy"), content.getvalue())
            self._write_json(f"{put}.json", sidecar)
            if not is_first:
                self._put_in_place(store, name, put)

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

    def read_summary(self) -> dict[str, Any]:
        """What ``run.json`` holds, of the run before; {} if it is missing or damaged."""
        try:
            return self._read_json("run.json")
        except InputError:
            return {}

    def read_sidecar(self, name: str) -> dict[str, Any]:
        """The sidecar of a map.

        Raises:
            InputError: if there is none, or it is damaged.
        """
        return self._read_json(f"{name}.json")

    def _url(self, name: str) -> str:
        return f"{self.path}/{name}"

    def _read_json(self, name: str) -> dict[str, Any]:
        url = self._url(name)
        with store_errors(url):
            text = open_store(self.path).cat_file(url)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{url}: is damaged; remove it") from error
        if not isinstance(content, dict):
            raise InputError(f"{url}: is damaged; remove it")
        return content

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        with store_errors(self.path):
            open_store(self.path).pipe_file(self._url(name), text.encode())

    def _put_in_place(self, store: Any, name: str, new: str) -> None:
        """Copy a new map and sidecar to their names; begun anew, it goes on where it ended."""
        store.rm_file(self._url(f"{name}.json"))
        for suffix in (".npy", ".json"):  # in this order
            with suppress(FileNotFoundError):  # copied and removed before
                store.cp_file(self._url(f"{new}{suffix}"), self._url(f"{name}{suffix}"))
        for suffix in (".npy", ".json"):
            store.rm_file(self._url(f"{new}{suffix}"))

    def _finish_killed_runs(self, store: Any) -> None:
        with store_errors(self.path):
            folder = f"{store._strip_protocol(self.path)}/"
            found = [NEW.fullmatch(path.removeprefix(folder)) for path in store.find(self.path, prefix=".")]
            for match in sorted(filter(None, found), key=lambda match: match[0]):  # of a pair the sidecar comes first
                if match[3] == "json":
                    self._put_in_place(store, match[2], match[1])
                else:
                    store.rm_file(self._url(match[0]))

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
