from __future__ import annotations

import pytest

from scripts.challenge.graph import Fingerprint, Record, stages_from, why_run
from scripts.errors import InputError

NOW = Fingerprint({"stride": 64, "mode": "auto"}, {"a.tif": [3, "x"], "b.tif": None})


def test_a_digest_depends_on_settings_and_inputs_not_on_their_order() -> None:
    turned = Fingerprint({"mode": "auto", "stride": 64}, {"b.tif": None, "a.tif": [3, "x"]})
    assert turned.digest() == NOW.digest()
    assert NOW._replace(settings={"stride": 32, "mode": "auto"}).digest() != NOW.digest()
    assert NOW._replace(inputs={}).digest() != NOW.digest()


@pytest.mark.parametrize(
    ("record", "missing", "reason"),
    [
        (None, [], "not done yet"),
        (Record(NOW, True), [], None),
        (Record(NOW, False), [], "was interrupted, goes on"),
        (Record(NOW, True), ["maps/a.npy", "maps/b.npy"], "maps/a.npy is missing"),
        (Record(NOW._replace(settings={"stride": 32}), True), [], 'mode was null, is "auto"'),
        (Record(NOW._replace(settings={"stride": 32, "mode": "auto"}), False), [], "stride was 32, is 64"),
        (Record(NOW._replace(inputs={"a.tif": [3, "y"], "b.tif": None}), True), [], "a.tif changed"),
        (Record(NOW._replace(inputs={}), True), [], "a.tif changed"),
        (Record(NOW._replace(inputs={"a.tif": 1, "b.tif": 2, "c.tif": 3}), True), [], "a.tif and 2 more changed"),
    ],
)
def test_why_a_stage_runs(record: Record | None, missing: list[str], reason: str | None) -> None:
    assert why_run(record, NOW, missing) == reason


def test_from_begins_a_stage_and_all_after_it_anew() -> None:
    names = ["verify", "infer", "froc"]
    assert stages_from(names, None) == []
    assert stages_from(names, "infer") == ["infer", "froc"]
    with pytest.raises(InputError, match=r"from: expected a stage of this run, verify, infer, froc, found 'train'"):
        stages_from(names, "train")
