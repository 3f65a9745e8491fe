"""The file ``stages.json``: what each stage was begun with, and how it ended; it outlives a run that is killed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import read_json, write_json
from .graph import Fingerprint, Record

LEDGER = "stages.json"


class Ledger:
    """Records of stages, written whole after each change.

    Args:
        folder: holds ``stages.json``; there need be none yet.

    Raises:
        InputError: if the file is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / LEDGER
        self._records = self._read() if self.path.exists() else {}

    def get(self, name: str) -> Record | None:
        """The record of a stage, None if it was never begun."""
        return self._records.get(name)

    def put(self, name: str, record: Record) -> None:
        """Keep a record in place of an older one."""
        self._records[name] = record
        self._write()

    def forget(self, names: Iterable[str]) -> None:
        """Drop records, so that their stages begin anew."""
        for name in names:
            self._records.pop(name, None)
        self._write()

    def _read(self) -> dict[str, Record]:
        content = read_json(self.path)
        try:
            return {str(name): _record(entry) for name, entry in content.items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.path}: expected the records of stages, found others ({type(error).__name__}: {error}); remove "
                "the file, and each stage begins anew"
            ) from error

    def _write(self) -> None:
        write_json(self.path, {name: _content(record) for name, record in self._records.items()})


def _record(entry: dict[str, Any]) -> Record:
    fingerprint = Fingerprint(dict(entry["settings"]), dict(entry["inputs"]))
    outputs = tuple(str(path) for path in entry["outputs"])
    set_aside = {str(name): str(reason) for name, reason in dict(entry["set_aside"]).items()}
    return Record(
        fingerprint, entry["finished"] is True, outputs, float(entry["seconds"]), str(entry["line"]), set_aside
    )


def _content(record: Record) -> dict[str, Any]:
    return {
        "finished": record.is_finished,
        "seconds": round(record.seconds, 1),
        "line": record.line,
        "set_aside": dict(record.set_aside),
        "outputs": list(record.outputs),
        "digest": record.fingerprint.digest(),
        "settings": dict(record.fingerprint.settings),
        "inputs": dict(record.fingerprint.inputs),
    }
