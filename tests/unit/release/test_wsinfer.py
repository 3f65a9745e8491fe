"""The network for WSInfer: its form is that of the zoo's schema, and it computes what ours does."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from helpers.wsinfer_schema import WSINFER_SCHEMA
from scripts import bundle_root
from scripts.cli.main import main
from scripts.errors import InputError
from scripts.exports.export import export_maps
from scripts.network.hashes import file_sha256
from scripts.network.preprocessing import Scaling
from scripts.network.purpose import make_purpose
from scripts.release.wsinfer import CLASS_NAMES, wsinfer_config
from scripts.workflow import create_workflow

MODELS = Path(bundle_root()) / "models"


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wsinfer") / "camelyon"
    main(["package", "--format", "wsinfer", "--output", str(folder)])
    return folder


def _as_wsinfer_computes(folder: Path, pictures: np.ndarray) -> torch.Tensor:
    """Softmax of TorchScript's logits, after the transforms that the config names, by torchvision.

    Args:
        folder: the model's.
        pictures: (N, h, w, 3) uint8.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    for step in config["transform"]:
        if step["name"] == "Resize":
            size = step["arguments"]["size"]
            batch = transforms.resize(batch, [size, size])
        elif step["name"] == "ToTensor":
            batch = batch.float() / 255
        else:
            batch = transforms.normalize(batch, **step["arguments"])
    with torch.inference_mode():
        return torch.softmax(torch.jit.load(str(folder / "torchscript_model.pt"))(batch), dim=1)


def test_the_config_is_valid_by_the_rules_of_the_zoo(packaged: Path) -> None:
    content = json.loads((packaged / "config.json").read_text(encoding="utf-8"))
    jsonschema.validate(content, WSINFER_SCHEMA)
    assert len(content["class_names"]) == content["num_classes"] == 2
    assert (content["patch_size_pixels"], content["spacing_um_px"]) == (224, 0.243)
    assert content["weights_sha256"] == file_sha256(MODELS / "model.pt")


def test_the_config_is_valid_by_the_schema_of_the_package_wsinfer_zoo(packaged: Path) -> None:
    found = importlib.util.find_spec("wsinfer_zoo")
    if found is None or found.origin is None:
        pytest.skip("the package wsinfer-zoo, which has the schema, is not installed")
    schema = json.loads((Path(found.origin).parent / "schemas" / "model-config.schema.json").read_text("utf-8"))
    content = json.loads((packaged / "config.json").read_text(encoding="utf-8"))
    jsonschema.validate(content, schema)
    assert set(WSINFER_SCHEMA["required"]) == set(schema["required"])
    changes = [{key: None} for key in schema["required"]] + [{"spec_version": "2"}, {"num_classes": 0}]
    for change in [*changes, {"transform": [{"name": "Crop"}]}, {"class_names": ["a", "a"]}, {"spacing_um_px": -1}]:
        for rules in (schema, WSINFER_SCHEMA):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**content, **change}, rules)


def test_it_gives_the_probabilities_of_the_bundle(packaged: Path) -> None:
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    pictures[1] = (170, 70, 150)  # stained
    pictures[2, :, :112] = (240, 238, 242)
    found = _as_wsinfer_computes(packaged, pictures)
    parser = create_workflow("inference", handlers=[], logging_file=False, device="$torch.device('cpu')").parser
    preprocessing, network = (parser.get_parsed_content(key) for key in ("preprocessing", "network"))
    pixels = preprocessing({"image": torch.from_numpy(pictures).permute(0, 3, 1, 2)})["image"]
    with torch.inference_mode():
        expected = torch.sigmoid(network.eval()(torch.as_tensor(pixels)))
    torch.testing.assert_close(found[:, CLASS_NAMES.index("Tumor")], expected.reshape(3), atol=1e-5, rtol=1e-4)
    assert len(set(expected.flatten().tolist())) == 3
    assert _as_wsinfer_computes(packaged, pictures[:1]).shape == (1, 2), "any number of patches"


def test_the_screening_network_states_its_own_resolution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--config_file", "screen_10x.json", "--output", str(tmp_path / "a")]
    main(["package", "--format", "wsinfer", *given])
    assert capsys.readouterr().out.startswith("model_10x.pt for 0.972 µm per pixel on patches of 96 px in ")
    content = json.loads((tmp_path / "a" / "config.json").read_text(encoding="utf-8"))
    assert (content["spacing_um_px"], content["patch_size_pixels"]) == (0.972, 96)
    assert _as_wsinfer_computes(tmp_path / "a", np.zeros((2, 96, 96, 3), dtype=np.uint8)).shape == (2, 2)


@pytest.mark.parametrize("scaling", [Scaling(2 / 255, -1.0), Scaling(1 / 255, 0.0), Scaling(1 / 40, -3.2)])
def test_normalize_is_the_scaling(scaling: Scaling) -> None:
    content = wsinfer_config(make_purpose(0.5, 96), scaling, "ab")
    arguments = content["transform"][-1]["arguments"]
    pixels = torch.tensor([0.0, 17.0, 255.0]).reshape(1, 1, 3).expand(3, 1, 3)
    torch.testing.assert_close(transforms.normalize(pixels / 255, **arguments), scaling.apply(pixels))


def test_what_cannot_be_packaged_is_told(tmp_path: Path) -> None:
    other, none = str(MODELS / "model_10x.pt"), str(tmp_path / "none.pt")
    for flags, said in (
        (["--format", "onnx"], "format: expected bundle or wsinfer, found 'onnx'"),
        (["--weights", other], "weights, config_file: the bundle holds all of its own; leave them"),
        (["--format", "wsinfer", "--weights", none], r"none\.pt: no such file of weights"),
        (["--format", "wsinfer", "--weights", other], r"add --config_file screen_10x\.json"),
    ):
        with pytest.raises(SystemExit, match=f"^error: .*{said}"):
            main(["package", "--output", str(tmp_path / "a"), *flags])
    with pytest.raises(InputError, match="tumor-detection package --format wsinfer"):
        export_maps(tmp_path, tmp_path / "b", "wsinfer")
    assert not (tmp_path / "a").exists()
