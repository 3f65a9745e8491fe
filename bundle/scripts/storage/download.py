"""CAMELYON16 from its public bucket: chosen files, many at once, each resumed where it broke, compared by checksum."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ..errors import FilesFailedError, InputError, counted
from ..files import check_name, make_output_dir
from .bucket import CHECKSUM_LISTS, FOLDERS, SOURCE, choose_files, open_bucket, read_checksums, relative
from .remote import RemoteFile, describe, list_files, store_errors
from .transfer import copy_file, file_checksum

logger = logging.getLogger(__name__)

_LARGEST_LIST = 1 << 24


class Wanted(NamedTuple):
    """A file to download.

    Attributes:
        file: as the bucket describes it.
        target: where it goes.
        checksum: MD5 or SHA-256 by the data set's own list, or None if that has none.
    """

    file: RemoteFile
    target: Path
    checksum: str | None


def download_camelyon16(
    output: str | Path,
    slides: str,
    what: str = "images,annotations",
    source: str = SOURCE,
    endpoint: str | None = None,
    num_at_once: int = 4,
) -> str:
    """Download files of CAMELYON16.

    Files lie in ``output`` as in the bucket. One that is there whole is left; one that broke off goes on.

    Args:
        output: folder to download to.
        slides: names separated by commas, or ``all``.
        what: folders separated by commas, see `bucket.FOLDERS`.
        source: the data set's address.
        endpoint: of another S3 service than Amazon's; credentials are then taken from the environment.
        num_at_once: files that are copied at a time.

    Returns:
        A line that says what was done.

    Raises:
        InputError: if names are not in the bucket, or the disk is too small.
        FilesFailedError: after all others are there, if files could not be copied.
    """
    folders = _chosen_folders(what)
    if num_at_once < 1:
        raise InputError(f"--num_at_once must be at least 1, but got {num_at_once}")
    folder = make_output_dir(output)
    store = open_bucket(source, endpoint)
    checksums = _fetch_checksums(source, store)
    urls = [url for name in folders for url in list_files(f"{source}/{name}", store)]
    chosen = choose_files([url for url in urls if not url.endswith("/")], source, slides)
    files = _describe_all(chosen, store, num_at_once)
    wanted = [
        Wanted(file, _target(folder, source, file.url), checksums.get(relative(source, file.url))) for file in files
    ]
    missing = [item for item in wanted if not _is_there(item)]
    _check_space(folder, missing)
    verified = _copy_all(missing, store, num_at_once)
    with_list = verified.count("checksum")
    return (
        f"{counted(len(missing), 'file')} downloaded to {folder}, {len(wanted) - len(missing)} there before; "
        f"{with_list} compared "
        f"with {' or '.join(CHECKSUM_LISTS)}, {len(verified) - with_list - verified.count('size')} with the bucket's "
        f"own MD5, {verified.count('size')} by their size alone"
    )


def copy_extras(output: str | Path, source: str, endpoint: str | None, names: Iterable[str]) -> list[Path]:
    """Copy small files that the data set may have, such as its lists of checksums.

    Args:
        output: folder to copy to; they lie in it as in the bucket.
        source: the data set's address.
        endpoint: see `download_camelyon16`.
        names: paths relative to ``source``; what is not there is passed over.

    Returns:
        The copies.

    Raises:
        InputError: if the bucket cannot be reached, or a file not be copied.
    """
    store, folder, copies = open_bucket(source, endpoint), make_output_dir(output), []
    for name in names:
        url = f"{source}/{name}"
        with store_errors(url):
            is_there = store.exists(url)
        if is_there:
            target = _target(folder, source, url)
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_file(describe(url, store), target, store)
            copies.append(target)
    return copies


def _chosen_folders(what: str) -> list[str]:
    folders = [name.strip() for name in what.split(",") if name.strip()]
    unknown = [name for name in folders if name not in FOLDERS]
    if unknown or not folders:
        raise InputError(f"--what must name some of {', '.join(FOLDERS)}, but got {what!r}")
    return list(dict.fromkeys(folders))


def _fetch_checksums(source: str, store: Any) -> dict[str, str]:
    """The checksums of all lists that are there; of a file in several lists that of the last, the SHA-256."""
    found: dict[str, str] = {}
    missing = []
    for name in CHECKSUM_LISTS:
        url = f"{source}/{name}"
        with store_errors(url):
            try:
                text = store.cat_file(url, start=0, end=min(int(store.info(url)["size"]), _LARGEST_LIST))
            except FileNotFoundError:
                missing.append(name)
                continue
        found |= read_checksums(text.decode("utf-8", errors="replace"))
    if len(missing) == len(CHECKSUM_LISTS):
        logger.warning(
            "%s: has neither %s: files are compared with the bucket's own MD5 where it has one, else by their size",
            *(source, " nor ".join(missing)),
        )
    elif not found:
        logger.warning("%s: its list of checksums holds no checksum, so no file is compared with it", source)
    return found


def _describe_all(urls: Sequence[str], store: Any, num_at_once: int) -> list[RemoteFile]:
    with ThreadPoolExecutor(num_at_once) as pool:
        return list(pool.map(lambda url: describe(url, store), urls))


def _target(folder: Path, source: str, url: str) -> Path:
    parts = [check_name(part, url) for part in relative(source, url).split("/")]
    return folder.joinpath(*parts)


def _is_there(item: Wanted) -> bool:
    """Whether a file is there whole; its size and date are the bucket's, or its checksum is."""
    try:
        found = item.target.stat()
    except OSError:
        return False
    if found.st_size != item.file.size:
        return False
    if found.st_mtime_ns == item.file.modified_ns:
        return True
    return item.checksum is not None and file_checksum(item.target, item.checksum) == item.checksum


def _check_space(folder: Path, missing: Sequence[Wanted]) -> None:
    needed = sum(item.file.size for item in missing)
    for item in missing:
        part = item.target.with_name(f"{item.target.name}.part")
        needed -= part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: {needed / 1e9:.3f} GB are to come, but only {free / 1e9:.3f} GB are free; choose fewer slides "
            "or another disk"
        )


def _copy_all(missing: Sequence[Wanted], store: Any, num_at_once: int) -> list[str]:
    verified: list[str] = []
    failed: dict[str, str] = {}
    mutex = threading.Lock()
    total = sum(item.file.size for item in missing)
    with (
        tqdm(total=total, desc="download", unit="B", unit_scale=True, disable=not missing) as progress,
        ThreadPoolExecutor(num_at_once) as pool,
    ):

        def tell(num_bytes: int) -> None:
            with mutex:
                progress.update(num_bytes)

        def copy(item: Wanted) -> str:
            item.target.parent.mkdir(parents=True, exist_ok=True)
            return copy_file(item.file, item.target, store, tell, item.checksum)

        copies = {pool.submit(copy, item): item.file.url for item in missing}
        for future in as_completed(copies):
            try:
                verified.append(future.result())
            except InputError as error:  # the others go on
                failed[copies[future]] = str(error)
    if failed:
        first = next(iter(failed.values()))
        message = (
            f"{len(failed)} of {counted(len(missing), 'file')} could not be downloaded, run again for them; first: "
            f"{first}"
        )
        raise FilesFailedError(message, failed)
    return verified
