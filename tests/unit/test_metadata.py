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

from scripts.geometry import PATCH_SIZE

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
METADATA_FILE = CONFIGS / "metadata.json"
METADATA = json.loads(METADATA_FILE.read_text(encoding="utf-8"))
FORMATS = METADATA["network_data_format"]

# What schema 20240725 asks for; the file itself is fetched from the network by `verify_metadata`.
REQUIRED = (
    *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
    *("task", "description", "authors", "copyright", "network_data_format"),
)
REQUIRED_OF_TENSORS = ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range")
STRING, TEXTS = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}
TENSOR = {
    "type": "object",
    "required": REQUIRED_OF_TENSORS,
    "properties": {
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": TEXTS,
        **dict.fromkeys(("type", "format", "dtype", "modality"), STRING),
    },
}
TENSORS = {"type": "object", "additionalProperties": TENSOR, "minProperties": 1}
SCHEMA = {
    "type": "object",
    "required": REQUIRED,
    "properties": {
        **{key: STRING for key in REQUIRED if not key.endswith(("packages_version", "data_format"))},
        "changelog": TEXTS,
        "required_packages_version": TEXTS,
        "references": {"type": "array", "items": STRING},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": dict.fromkeys(("inputs", "outputs", "post_processed_outputs"), TENSORS),
            "additionalProperties": False,
        },
    },
}


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


def test_version_was_never_published_for_the_zoo_bundle_of_this_name() -> None:
    version = tuple(map(int, METADATA["version"].split(".")))
    assert version > (0, 6, 2)
    assert METADATA["version"] in METADATA["changelog"]


def test_pins_are_exact_versions() -> None:
    pins = [METADATA[f"{name}_version"] for name in ("monai", "pytorch", "numpy")]
    for pin in [*pins, *METADATA["required_packages_version"].values()]:
        assert re.fullmatch(r"\d+(\.\d+)+", pin)
    assert "optional_packages_version" not in METADATA, "the old name warns on every read"


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


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.iterdir()))
def test_configs_hold_no_personal_path(name: str) -> None:
    assert not re.search(r"/(home|root|Users|work|workspace|mnt|tmp)/", (CONFIGS / name).read_text(encoding="utf-8"))


def test_logging_conf_is_accepted_and_logs_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        _apply_logging_file(str(CONFIGS / "logging.conf"))
        logging.getLogger("scripts.slide").info("one line")
        logging.getLogger("scripts.slide").debug("not shown")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO one line\n", captured.err)
