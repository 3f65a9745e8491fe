"""Files that the model zoo does not take are found, and weights that do not say what they are for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from scripts.release.files import MAX_BYTES, file_problems, purpose_problems
from scripts.release.release import bundle_files

ROOT = Path(__file__).parents[3]


def test_the_bundle_has_no_such_file() -> None:
    files = bundle_files(ROOT)
    assert {"models/model.json", "models/model_10x.json"} <= files.keys()
    assert file_problems(files) + purpose_problems(files) == []


def test_files_that_the_zoo_does_not_take_are_found(tmp_path: Path) -> None:
    large, private, license_file = tmp_path / "large.pt", tmp_path / "notes.md", tmp_path / "LICENSE"
    with open(large, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    private.write_text("see /home/" + "somebody/slides")
    license_file.write_text("All rights reserved")
    changed = {**bundle_files(ROOT), "models/large.pt": large, "docs/notes.md": private, "LICENSE": license_file}
    del changed["docs/data_license.txt"]
    problems = file_problems(changed)
    assert len(problems) == 4
    for message in ("more than the zoo's 25000000", "somebody's own path", "docs/data_license.txt: missing", "Apache"):
        assert any(message in problem for problem in problems), message


def test_weights_without_a_sidecar_of_theirs_are_found(tmp_path: Path) -> None:
    files = {name: path for name, path in bundle_files(ROOT).items() if name != "models/model.json"}
    stale = Path(shutil.copy(files["models/model_10x.json"], tmp_path / "stale.json"))
    stale.write_text(json.dumps({**json.loads(stale.read_text()), "sha256": "0" * 64}))
    assert purpose_problems({**files, "models/model_10x.json": stale}) == [
        "models/model.pt: models/model.json is missing, which says what the weights are for",
        "models/model_10x.json: states another sha256 than that of models/model_10x.pt",
    ]
