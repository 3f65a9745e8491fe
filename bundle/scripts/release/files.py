"""Whether the files of a bundle are those that the model zoo takes."""

from __future__ import annotations

import re
from pathlib import Path

from ..files import read_json
from ..network.hashes import file_sha256
from ..network.purpose import sidecar_path

MAX_BYTES = 25_000_000
"""Larger files must not be in the model zoo's repository but be listed in ``large_files.yml``."""

_TEXTS = (".json", ".py", ".md", ".txt", ".conf", ".sh", "")
_PERSONAL = re.compile(r"(?<![\w.])/(home|root|Users|work|workspace|mnt)/\w+|(?<!\w)[A-Z]:\\\w")


def file_problems(files: dict[str, Path]) -> list[str]:
    """Whether the files are those that the zoo takes: present, small, licensed, without anybody's own paths."""
    wanted = ["LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json", "models/model.pt"]
    wanted += ["docs/README.md", "docs/data_license.txt"]
    problems = [f"{name}: missing" for name in wanted if name not in files]
    for name, path in files.items():
        if path.stat().st_size > MAX_BYTES:
            problems.append(f"{name}: {path.stat().st_size} bytes are more than the zoo's {MAX_BYTES}; make it smaller")
        if path.suffix in _TEXTS:
            found = _PERSONAL.search(path.read_text(encoding="utf-8"))
            if found:
                problems.append(f"{name}: holds somebody's own path, {found[0]}")
    license_text = files["LICENSE"].read_text(encoding="utf-8") if "LICENSE" in files else ""
    if "Apache License" not in license_text or "Version 2.0" not in license_text:
        problems.append("LICENSE: expected the Apache License, Version 2.0")
    return problems


def purpose_problems(files: dict[str, Path]) -> list[str]:
    """Whether the sidecar of each file of weights is there and was written for it; see `network.purpose`."""
    problems = []
    for name, path in files.items():
        if not name.startswith("models/") or path.suffix == ".json":
            continue
        sidecar = sidecar_path(name).as_posix()
        if sidecar not in files:
            problems.append(f"{name}: {sidecar} is missing, which says what the weights are for")
        elif read_json(files[sidecar]).get("sha256") != file_sha256(path):
            problems.append(f"{sidecar}: states another sha256 than that of {name}")
    return problems
