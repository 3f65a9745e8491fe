"""The whole round: infer, judge, mine, train a step, infer again: what was rejected has a lower probability."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from integration.conftest import Outcome
from scripts import bundle_root
from scripts.annotations.verdict_folder import VerdictFolder
from scripts.labels.loclabel import read_loclabels
from scripts.maps.files import read_map, read_map_info
from scripts.maps.findings import FindingSettings, find_lesions
from scripts.maps.verdict_marks import finding_marks

pytestmark = pytest.mark.integration

SLIDE = Path(bundle_root()) / "sample" / "metastasis_strip.tif"
STRIDE = 128


def test_a_rejected_place_has_a_lower_probability_after_a_step(
    tumor_detection: Callable[..., Outcome], tmp_path: Path
) -> None:
    """The strip of real tissue: its metastasis is confirmed, the weaker detections elsewhere are rejected."""

    def run(command: str, **flags: object) -> Outcome:
        outcome = tumor_detection(command, *(part for key, value in flags.items() for part in (f"--{key}", value)))
        assert outcome.status == 0, outcome.err
        return outcome

    run("infer", slides=SLIDE, stride=STRIDE, output_dir="maps")
    info = read_map_info(tmp_path / "maps" / f"{SLIDE.stem}.npy")
    before = read_map(info)

    folder = VerdictFolder(tmp_path / "verdicts", "a script")
    file = folder.open(info.name)
    file.begin(finding_marks(find_lesions(before, info, FindingSettings(0.3, 190.0, 0.0))))
    verdicts = [
        file.judge(mark.id, "tumor" if mark.probability > 0.9 else "not_tumor").verdict
        for mark in file.marks
        if mark.is_detection
    ]
    folder.close()
    num_tumor, num_rejected = verdicts.count("tumor"), verdicts.count("not_tumor")
    assert min(num_tumor, num_rejected) >= 1

    outcome = run("mine", maps="maps", verdicts="verdicts", output="judged.csv")
    assert outcome.out.startswith(f"{num_rejected} hard negatives and {num_tumor} regions of tumor of 1 slide; 0 ")
    rows = read_loclabels(tmp_path / "judged.csv")
    files = {"dataset_dir": SLIDE.parent, "training_file": "judged.csv", "validation_file": "judged.csv"}
    settings = {"epochs": 1, "batch_size": 2, "learning_rate": 0.0003, "num_workers": 0, "ema_decay": 0.0}
    run("train", config_file="finetune.json", output_dir="trained", **files, **settings)
    run("infer", slides=SLIDE, weights="trained/model.pt", stride=STRIDE, output_dir="again")
    after = read_map(read_map_info(tmp_path / "again" / f"{info.name}.npy"))
    for row in rows:
        pixel = row["center"][0] // STRIDE, row["center"][1] // STRIDE
        if row["label"][0, 1, 1]:
            assert after[pixel] > 0.5, "what was confirmed is still found"
        else:
            assert after[pixel] < before[pixel]
