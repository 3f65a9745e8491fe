"""The public bucket of CAMELYON16: its address, its folders, which files belong to a slide, how fast they come."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

from ..errors import InputError, counted
from .remote import list_files, open_store
from .transfer import read_beginning

SOURCE = "s3://camelyon-dataset/CAMELYON16"
"""The organizers' bucket among AWS's open data."""

FOLDERS = {"images": "", "annotations": "", "masks": "_mask"}
"""Folders of the data set, and what stands in them between a slide's name and the suffix."""

CHECKSUM_LISTS = ("checksums.md5", "checksums.txt")
"""Names that the list of checksums has in descriptions of the bucket: MD5 in the first, SHA-256 in the second."""

REFERENCE_TABLES = ("reference.csv", "GT.csv")
"""Names under which the challenge's table of the test slides is known."""

EXTRAS = (
    *CHECKSUM_LISTS,
    *(f"{place}{name}" for place in ("", "evaluation/", "testing/") for name in REFERENCE_TABLES),
)
"""Small files that the data set may have beside its folders."""

_CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{64})[ \t]+\*?(.+)")


def open_bucket(source: str, endpoint: str | None) -> Any:
    """The store of the data set; Amazon's needs no account.

    Args:
        source: the data set's address.
        endpoint: of another S3 service than Amazon's; credentials are then taken from the environment.
    """
    return open_store(source, **({"endpoint_url": endpoint} if endpoint else {"anon": True}))


def relative(source: str, url: str) -> str:
    """The path of a file below the data set's address."""
    return url.removeprefix(f"{source}/")


def list_data(source: str = SOURCE, endpoint: str | None = None) -> dict[str, dict[str, int]]:
    """What the bucket has.

    Args:
        source: the data set's address.
        endpoint: see `open_bucket`.

    Returns:
        By folder, see `FOLDERS`: bytes of each file by its path relative to ``source``.

    Raises:
        InputError: if it cannot be listed.
    """
    store = open_bucket(source, endpoint)
    return {
        name: {relative(source, url): size for url, size in list_files(f"{source}/{name}", store).items()}
        for name in FOLDERS
    }


def measure_rate(
    sizes: Mapping[str, int], source: str = SOURCE, endpoint: str | None = None, num_at_once: int = 4
) -> float:
    """Bytes per second at which `download.download_camelyon16` copies, measured on the beginnings of a few files.

    Args:
        sizes: bytes of the files that are to be copied, by their paths relative to ``source``; not empty.
        source: the data set's address.
        endpoint: see `open_bucket`.
        num_at_once: files that are copied at a time.

    Raises:
        InputError: if they cannot be read.
    """
    store = open_bucket(source, endpoint)
    largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:num_at_once]
    started = time.monotonic()
    with ThreadPoolExecutor(num_at_once) as pool:
        found = list(pool.map(lambda path: read_beginning(f"{source}/{path}", sizes[path], store), largest))
    return sum(found) / max(time.monotonic() - started, 1e-6)


def choose_files(urls: Iterable[str], source: str, slides: str) -> list[str]:
    """Files of chosen slides.

    Args:
        urls: of files in `FOLDERS` below ``source``.
        source: the data set's address.
        slides: names in any case, with or without suffix, separated by commas, or ``all``.

    Raises:
        InputError: if a slide has no file.
    """
    found: dict[str, list[str]] = {}
    for url in urls:
        path = PurePosixPath(relative(source, url))
        ending = FOLDERS.get(path.parts[0], "")
        found.setdefault(path.stem.removesuffix(ending).lower(), []).append(url)
    if slides.strip().lower() == "all":
        return sorted(url for of_slide in found.values() for url in of_slide)
    names = [name.strip() for name in slides.split(",") if name.strip()]
    stems = [PurePosixPath(name).stem.lower() for name in names]
    unknown = [name for name, stem in zip(names, stems, strict=True) if stem not in found]
    if unknown or not names:
        known = sorted(found)
        shown = f"{known[0]} to {known[-1]}" if known else "nothing"
        raise InputError(
            f"--slides {', '.join(unknown) or slides!r}: not in {source}, which has {counted(len(known), 'name')}, "
            f"{shown}; give "
            "names separated by commas, or all"
        )
    return sorted(url for stem in dict.fromkeys(stems) for url in found[stem])


def read_checksums(text: str) -> dict[str, str]:
    """Lines of ``md5sum`` or ``sha256sum`` by the path that they are of.

    Args:
        text: the lines; others are passed over.

    Returns:
        MD5s or SHA-256s in lower case by path, without a leading ``./``; none where two lines of a path differ.
    """
    found: dict[str, str] = {}
    conflicts = set()
    for line in text.splitlines():
        match = _CHECKSUM_LINE.fullmatch(line.strip())
        if match:
            path = match[2].strip().removeprefix("./")
            if found.setdefault(path, match[1].lower()) != match[1].lower():
                conflicts.add(path)
    return {path: checksum for path, checksum in found.items() if path not in conflicts}
