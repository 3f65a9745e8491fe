"""metadata.json satisfies the model zoo and states what the network gets and gives; logging.conf is accepted."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, verify_metadata
from monai.bundle.workflows import _apply_logging_file
from monai.networks.nets import TorchVisionFCModel
from monai.utils import get_equivalent_dtype

from helpers.zoo_schema import REQUIRED, SCHEMA
from scripts.geometry import PATCH_SIZE

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
METADATA_FILE = CONFIGS / "metadata.json"
METADATA = json.loads(METADATA_FILE.read_text(encoding="utf-8"))
FORMATS = METADATA["network_data_format"]


def _verify(folder: Path, metadata: dict[str, Any]) -> None:
    """Run MONAI's verb on a metadata file, with the schema already in place."""
    schema = json.dumps(SCHEMA)
    (folder / "schema.json").write_text(schema)
    (folder / "metadata.json").write_text(json.dumps(metadata))
    verify_metadata(
        meta_file=str(folder / "metadata.json"),
        filepath=str(folder / "schema.json"),
        hash_val=hashlib.sha256(schema.encode()).hexdigest(),
        hash_type="sha256",
    )


def test_metadata_fits_the_schema(tmp_path: Path) -> None:
    assert METADATA["schema"].endswith("/meta_schema_20240725.json")
    _verify(tmp_path, METADATA)


@pytest.mark.parametrize("key", REQUIRED)
def test_metadata_without_a_required_key_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="schema" if key == "schema" else "Failed validating"):
        _verify(tmp_path, {name: value for name, value in METADATA.items() if name != key})


def test_metadata_is_read_without_a_warning(caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    parser = ConfigParser()
    parser.read_meta(str(METADATA_FILE))
    assert parser["_meta_#version"] == METADATA["version"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not list(recwarn)


def test_metadata_describes_the_network() -> None:
    image, pred = FORMATS["inputs"]["image"], FORMATS["outputs"]["pred"]
    assert image["spatial_shape"] == [PATCH_SIZE, PATCH_SIZE]
    low, high = image["value_range"]
    assert (low, high) == (-1, 1)
    network = TorchVisionFCModel("resnet18", num_classes=1, use_conv=True, pretrained=False).eval()
    dtype = get_equivalent_dtype(image["dtype"], torch.Tensor)
    patches = torch.rand(2, image["num_channels"], *image["spatial_shape"], dtype=dtype) * (high - low) + low
    with torch.no_grad():
        output = network(patches)
    assert output.shape == (2, pred["num_channels"], *pred["spatial_shape"])
    assert output.dtype == get_equivalent_dtype(pred["dtype"], torch.Tensor)
    assert not any(isinstance(module, (torch.nn.Sigmoid, torch.nn.Softmax)) for module in network.modules())
    assert pred["value_range"] == [], "logits are unbounded; the bundle specification writes [] for that"
    assert FORMATS["post_processed_outputs"]["pred"]["value_range"] == [0, 1]


def test_logging_conf_is_accepted_and_logs_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        _apply_logging_file(str(CONFIGS / "logging.conf"))
        logging.getLogger("scripts.slides.slide").info("one line")
        logging.getLogger("scripts.slides.slide").debug("not shown")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO one line\n", captured.err)
