"""Files in an object store or on a web server: what they are called, whether they changed, ranges of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..errors import InputError
from ..files import check_name
from ..folders.names import SLIDE_SUFFIXES, is_url, name_key, slide_name
from ..folders.search import NO_SLIDES, find_slides
from ..folders.slide_table import expand_tables

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SEVERAL_FILES = (".mrxs", ".vms", ".vmu", ".dcm")
_NO_MD5_ETAG = ("aws:kms", "aws:kms:dsse")  # with these encryptions an ETag is no MD5


class RemoteFile(NamedTuple):
    """A file at a distance, as its store describes it.

    Attributes:
        url: where it is.
        size: in bytes.
        etag: what the store changes with the content, or "" where it tells none.
        modified_ns: when it was changed, in ns since 1970; 0 where the store does not tell.
        md5: MD5 of its content, in hexadecimal; for a file that was uploaded in parts the MD5 of the parts' MD5s, a
            dash and the number of parts, as S3 forms it. "" where the store gives none.
        part_size: bytes of each part but the last; 0 for a file of one part.
    """

    url: str
    size: int
    etag: str
    modified_ns: int
    md5: str = ""
    part_size: int = 0


def check_url(url: str) -> str:
    """The address without a slash at its end.

    Raises:
        InputError: if it is none that is read here.
    """
    if re.search(r"[\x00-\x1f\x7f]", url):
        raise InputError(f"{url!r}: cannot be a file's name, for its control characters; mend it")
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in ("s3", "https") and not (scheme == "http" and parts.hostname in _LOOPBACK):
        raise InputError(f"{url}: expected s3:// or https://; copy the file to a folder, or serve it so")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise InputError(
            f"{parts.scheme}://{parts.hostname}{parts.path}: an address with a query, a fragment or a password would "
            "show it in results and logs; give s3:// with credentials from the environment"
        )
    return url.rstrip("/")


def file_name(url: str) -> str:
    """The last part of an address, made sure to be a plain name.

    Raises:
        InputError: if it is none, such as ``..``.
    """
    return check_name(PurePosixPath(urlsplit(url).path).name, url)


def open_store(url: str, **options: Any) -> Any:
    """The fsspec file system behind an address; credentials and endpoint come from the environment, as AWS's tools do.

    Args:
        url: see `check_url`.
        options: for the file system, over the environment.

    Raises:
        InputError: if the packages for it are missing.
    """
    scheme = urlsplit(check_url(url)).scheme.lower()
    try:
        import fsspec

        if scheme == "s3":
            options = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60}, **options}
        return fsspec.filesystem(scheme, skip_instance_cache=False, use_listings_cache=False, **options)
    except ImportError as error:
        raise InputError(
            f"{url}: {scheme}:// needs packages that are not installed ({error}); install the extra 'cluster'"
        ) from error


def describe(url: str, store: Any = None) -> RemoteFile:
    """Ask a store for what it knows of a file.

    Args:
        url: the file's address.
        store: see `open_store`, which is the default.

    Raises:
        InputError: if the file is not there or may not be read.
    """
    store = open_store(url) if store is None else store
    with store_errors(url):
        if urlsplit(url).scheme.lower() == "s3":
            return _describe_s3(url, store)
        info = store.info(url)
    if info.get("size") is None:
        raise InputError(f"{url}: the server does not tell its size; copy the file to a folder")
    date = info.get("Last-Modified")
    modified_ns = int(parsedate_to_datetime(date).timestamp()) * 10**9 if date else 0
    return RemoteFile(url, int(info["size"]), str(info.get("ETag", "")), modified_ns)


def _describe_s3(url: str, store: Any) -> RemoteFile:
    bucket, key, _ = store.split_path(url)
    head = store.call_s3("head_object", Bucket=bucket, Key=key)
    size, etag = int(head["ContentLength"]), str(head.get("ETag", ""))
    md5, part_size = etag.strip('"'), 0
    if head.get("ServerSideEncryption") in _NO_MD5_ETAG or "SSECustomerAlgorithm" in head:
        md5 = ""
    elif "-" in md5:
        part = store.call_s3("head_object", Bucket=bucket, Key=key, PartNumber=1)
        part_size = int(part["ContentLength"])
        if part_size <= 0 or -(-size // part_size) != int(md5.rpartition("-")[2]):
            md5, part_size = "", 0  # parts of several sizes, or a store that does not tell them
    modified_ns = int(head["LastModified"].timestamp()) * 10**9
    return RemoteFile(url, size, etag, modified_ns, md5 if re.fullmatch(r"[0-9a-f]{32}(-\d+)?", md5) else "", part_size)


def read_ranges(store: Any, url: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | Exception]:
    """Read ranges of a file at once.

    Args:
        store: see `open_store`.
        url: the file's address.
        ranges: (start, stop) in bytes, none empty.

    Returns:
        The bytes of each range, or why they did not come.
    """
    starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
    try:
        return list(store.cat_ranges([url] * len(ranges), starts, stops, max_gap=None, on_error="return"))
    except (OSError, asyncio.TimeoutError) as error:
        return [error] * len(ranges)


def list_slides(paths: str | Path | Sequence[str | Path]) -> list[str]:
    """Slides among files, folders, addresses and tables of slides (`folders.slide_table`), sorted by name.

    Raises:
        InputError: see `folders.search.find_slides`, `find_remote_slides`.
    """
    given = expand_tables(paths)
    local = [path for path in given if not is_url(path)]
    slides = find_slides(local) if local or not given else []
    found = {name_key(slide_name(path)): str(path) for path in slides}
    for url in [slide for path in given if is_url(path) for slide in find_remote_slides(str(path))]:
        name = slide_name(file_name(url))
        other = found.setdefault(name_key(name), url)
        if other != url:
            raise InputError(
                f"{other} and {url} share the name {name!r} (case makes no difference), and results are named by it; "
                "rename one, or run them into different output folders"
            )
    return sorted(found.values(), key=slide_name)


def find_remote_slides(url: str) -> list[str]:
    """Slides at an address: the file itself, or for ``s3://`` all below the folder, sorted.

    Names that end as in `folders.search.NO_SLIDES`, hidden files and hidden folders are left out when a folder is
    searched.

    Raises:
        InputError: if nothing is there, or a slide consists of several files.
    """
    url = check_url(url)
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    if suffix in _SEVERAL_FILES:
        raise InputError(f"{url}: slides of {suffix} consist of several files, which are not copied; give a folder")
    if suffix in SLIDE_SUFFIXES or not url.lower().startswith("s3://"):
        return [url]
    found = [path for path in list_files(url) if _is_slide(path.removeprefix(url))]
    if not found:
        raise InputError(f"{url}: no slides found; expected files ending in {' '.join(SLIDE_SUFFIXES)}")
    return found


def list_files(url: str, store: Any = None) -> dict[str, int]:
    """All files below a folder of an object store, sorted, each with its size in bytes.

    Raises:
        InputError: if it cannot be listed.
    """
    store = open_store(url) if store is None else store
    with store_errors(url):
        found = store.find(url, detail=True)
    return {f"s3://{path}": int(found[path].get("size") or 0) for path in sorted(found)}


def _is_slide(relative: str) -> bool:
    path = PurePosixPath(relative)
    suffixes = [suffix for suffix in SLIDE_SUFFIXES if suffix not in _SEVERAL_FILES]
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in suffixes and not path.stem.endswith(NO_SLIDES) and not hidden


class store_errors:  # noqa: N801  # used as contextlib's functions are
    """Turns what a store raises into an `InputError` that names the address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, InputError) or not isinstance(error, Exception):
            return
        cause = error.__cause__  # fsspec says "not found" of whatever happens on the way to a web server
        if isinstance(error, FileNotFoundError) and type(cause).__module__.startswith("aiohttp"):
            status = getattr(cause, "status", None)
            refused = PermissionError() if status in (401, 403) else cause
            error = error if status in (404, 410) or not isinstance(refused, Exception) else refused
        known = {FileNotFoundError: "is not there; check the address", PermissionError: "may not be read; " + _RIGHTS}
        for kind_of_error, reason in known.items():
            if isinstance(error, kind_of_error):
                raise InputError(f"{self.url}: {reason}") from error
        name = type(error).__name__
        if name in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound"):
            raise InputError(f"{self.url}: no credentials ({error}); {_RIGHTS}") from error
        module = type(error).__module__.split(".")[0]
        if isinstance(error, (OSError, asyncio.TimeoutError)) or module in ("aiohttp", "botocore", "aiobotocore"):
            reason = " ".join(str(error).split()) or name
            raise InputError(f"{self.url}: cannot be reached ({reason}); check the address and the network") from error


_RIGHTS = "give credentials as to AWS's tools, or FSSPEC_S3_ANON=true for a public bucket"
