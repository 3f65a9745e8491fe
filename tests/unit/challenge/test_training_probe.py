from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from scripts.challenge.training_probe import measure_region
from scripts.slides.pyramid import write_pyramid


def test_a_training_is_measured_on_a_slide_and_leaves_nothing(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1301, 1603, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "tumor_001.tif", image, 0.243, compression=None)
    (tmp_path / "tiny.json").write_text(json.dumps({"network_def": {"_target_": "helpers.networks.TinyNetwork"}}))
    before = sorted(tmp_path.rglob("*"))
    values = {"batch_size": 2, "num_workers": 0, "epochs": 30}
    assert measure_region(tmp_path / "tumor_001.tif", "auto", values, [str(tmp_path / "tiny.json")]) > 0
    assert sorted(tmp_path.rglob("*")) == before
