"""The bundle as the model zoo holds it: checked, put together in a folder, and as a zip that is always the same."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from .. import bundle_root
from ..errors import InputError, counted
from ..files import atomic_path, make_output_dir
from .consistency import NAME, find_problems, read_checkout

_KINDS = {"configs": (".json", ".conf"), "scripts": (".py", ".sh", ".json"), "models": (".pt", ".json")}
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)[^)]*\)")
_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can state."""


def package_bundle(output: str | Path, root: str | Path | None = None) -> str:
    """Check a checkout and write ``pathology_tumor_detection/`` and ``pathology_tumor_detection.zip``.

    The zip depends on the files' contents alone: it holds them uncompressed, in order, with fixed times and modes.

    Args:
        output: folder for both; a bundle that it holds from an earlier time is replaced.
        root: the checkout; by default that of this code.

    Returns:
        A line that sums up what was written.

    Raises:
        InputError: if this is no checkout, something does not agree, or ``output`` holds other files.
    """
    checkout = read_checkout(Path(bundle_root()).parent if root is None else Path(root).resolve())
    files = bundle_files(checkout.root)
    problems = find_problems(checkout, files)
    if problems:
        raise InputError(
            f"package: {counted(len(problems), 'thing does', 'things do')} not agree: {'; '.join(problems)}"
        )
    folder = make_output_dir(output) / NAME
    strange = sorted(set(_files_below(folder)) - files.keys())
    if strange:
        raise InputError(f"{folder / strange[0]}: no file of the bundle; remove it or choose another --output")
    _write_folder(folder, files)
    archive = folder.with_suffix(".zip")
    with atomic_path(archive) as temporary:
        write_zip(temporary, files)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return (
        f"{NAME} {checkout.metadata['version']}: {counted(len(files), 'file')} in {folder} and {archive}, SHA-256 "
        f"{digest}"
    )


def bundle_files(root: Path) -> dict[str, Path]:
    """What is published: name inside the bundle, in order, and where the file is in the checkout.

    Of ``docs`` it is the model card, the licenses of the data, and the pages that the card leads to.

    Raises:
        InputError: if the bundle's folders hold something that does not belong there, or a link leads nowhere.
    """
    found = {"LICENSE": root / "LICENSE", "docs/data_license.txt": root / "docs" / "data_license.txt"}
    for folder, suffixes in _KINDS.items():
        for name in _files_below(root / "bundle" / folder):
            path = root / "bundle" / folder / name
            is_in_package = folder == "scripts" and (path.parent / "__init__.py").is_file()
            if path.suffix not in suffixes or ("/" in name and not is_in_package):
                raise InputError(f"{path}: no file of the bundle, {folder} holds {' '.join(suffixes)}; remove it")
            found[f"{folder}/{name}"] = path
    for path in _linked_pages(root / "docs" / "README.md"):
        found[path.relative_to(root).as_posix()] = path
    return dict(sorted(found.items()))


def write_zip(path: Path, files: dict[str, Path]) -> None:
    """Write files into a zip, below the bundle's name, so that equal contents make equal bytes.

    Args:
        path: the zip.
        files: name inside the bundle, and where the file is.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # what zlib makes depends on its version
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", _TIME)
            entry.create_system = 3  # Unix, whatever the system: modes are written
            entry.external_attr = (0o100000 | _mode(name)) << 16
            archive.writestr(entry, files[name].read_bytes())


def _write_folder(folder: Path, files: dict[str, Path]) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=folder.parent) as temporary:
        whole = Path(temporary) / NAME
        for name, path in files.items():
            target = whole / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(_mode(name))
        if folder.exists():
            folder.rename(Path(temporary) / "before")
        whole.rename(folder)


def _mode(name: str) -> int:
    return 0o755 if name.endswith(".sh") else 0o644


def _files_below(folder: Path) -> list[str]:
    """Names relative to the folder; hidden files and Python's caches are passed over."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
    )


def _linked_pages(start: Path) -> list[Path]:
    """A page of ``docs`` and all files that links lead to from it, directly or not."""
    docs, pages, found = start.parent, [start], {start}
    while pages:
        page = pages.pop()
        for link in _LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if ":" in link or target in found:
                continue
            if docs not in target.parents or not target.is_file():
                raise InputError(f"{page}: the link to {link} leads out of docs or nowhere; the zoo has docs only")
            found.add(target)
            if target.suffix == ".md":
                pages.append(target)
    return sorted(found)
