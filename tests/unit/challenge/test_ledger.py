from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts.challenge.graph import Fingerprint, Record
from scripts.challenge.ledger import LEDGER, Ledger
from scripts.errors import InputError

RECORD = Record(Fingerprint({"stride": 64}, {"a.tif": [3, "x"]}), True, ("maps/a.npy",), 1.5, "1 map", {"b.tif": "bad"})


def test_records_outlive_the_process(tmp_path: Path) -> None:
    Ledger(tmp_path).put("infer", RECORD)
    again = Ledger(tmp_path)
    assert again.get("infer") == RECORD
    assert again.get("froc") is None
    again.forget(["infer", "froc"])
    assert Ledger(tmp_path).get("infer") is None


def test_conventions_document_each_key(tmp_path: Path) -> None:
    Ledger(tmp_path).put("infer", RECORD)
    page = (Path(__file__).parents[3] / "docs" / "conventions.md").read_text(encoding="utf-8")
    table = page.split("| challenge key | meaning |")[1].split("\n\n")[0]
    keys = json.loads((tmp_path / LEDGER).read_text())["infer"].keys()
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(keys)


@pytest.mark.parametrize("content", ["[]", "{", '{"infer": {"finished": true}}', '{"infer": 3}'])
def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / LEDGER).write_text(content)
    with pytest.raises(InputError, match=r"stages\.json: .*(remove the file|write it again)"):
        Ledger(tmp_path)
