"""The configs wire what exists, as the house style says, and agree with each other and with the code."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate
from typing import Any

import pytest
from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver

from helpers.format_configs import main as format_configs
from scripts import bundle_root
from scripts.geometry import CELL_SIZE, GRID_SHAPE, PATCH_SIZE, REGION_SIZE
from scripts.slides.slide import MODEL_MPP

CONFIGS = Path(bundle_root()) / "configs"
COMPOSED = {
    "train": ["train.json"],
    "train_patches": ["train.json", "train_patches.json"],
    "train_10x": ["train.json", "train_patches.json", "train_10x.json"],
    "pretrain": ["train.json", "train_patches.json", "pretrain.json"],
    "train_taught": ["train.json", "train_patches.json", "train_taught.json"],
    "train_dense": ["train.json", "train_dense.json"],
    "finetune": ["train.json", "finetune.json"],
    "evaluate": ["train.json", "evaluate.json"],
    "multi_gpu_train": ["train.json", "multi_gpu_train.json"],
    "inference": ["inference.json"],
    "multi_gpu_inference": ["inference.json", "multi_gpu_inference.json"],
    "screen_10x": ["inference.json", "screen_10x.json"],
    "inference_onnx": ["inference.json", "inference_onnx.json"],
    "inference_trt": ["inference.json", "inference_trt.json"],
    "mlflow": ["train.json", "mlflow.json"],
    "camelyon16": ["camelyon16.json"],
}
"""Every config, with what it is laid over."""

ID = r"@\w+(#\w+)*"
ALLOWED = {
    "an import": r"import \w+",
    "seeding": rf"monai\.utils\.set_determinism\(seed=({ID}|\d+)\)",
    "one method call on one reference": rf"{ID}\.\w+\(({ID})?\)",
    "joining a path": rf"{ID} \+ '/[\w./]+'",
    "a device": r"torch\.device\([^@]*\)",
    "leaving the processes' group": r"torch\.distributed\.destroy_process_group\(\)",
    "whether there is something": rf"{ID} is None",
    "a comparison": rf"{ID}(\.\w+)? (==|!=|<|<=|>|>=) ('\w+'|\d+)",
}
"""What an expression may do, see the house style; anything else becomes a component with a name."""

ORDER = ("imports", "bundle_root", "device", "network_def", "network", "loss", "optimizer", "lr_scheduler")
ORDER += ("train", "validate", "initialize", "run", "finalize")


@pytest.fixture(scope="module")
def locator() -> ComponentLocator:
    return ComponentLocator()


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def parser_of(name: str) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([CONFIGS / file for file in COMPOSED[name]])
    return parser


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a config and its id."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from walk(inner, f"{path}#{key}".lstrip("#"))


def components(name: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, value) for path, value in walk(read(name)) if isinstance(value, dict) and "_target_" in value]


def expressions(name: str) -> list[tuple[str, str]]:
    return [(path, value) for path, value in walk(read(name)) if isinstance(value, str) and value.startswith("$")]


def test_every_config_is_tested() -> None:
    assert set(COMPOSED) == {path.stem for path in CONFIGS.glob("*.json")} - {"metadata"}


def test_configs_are_formatted() -> None:
    assert format_configs(["--check"]) == 0


@pytest.mark.parametrize("name", COMPOSED)
def test_targets_exist_and_take_what_they_are_given(name: str, locator: ComponentLocator) -> None:
    assert components("train")
    for path, config in components(name):
        target = ConfigComponent(config=config, id=path, locator=locator).resolve_module_name()
        component = locate(target) if isinstance(target, str) else target
        assert callable(component), f"{path}: {config['_target_']} cannot be imported"
        if config.get("_mode_") == "callable":
            continue
        parameters = inspect.signature(component).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            unknown = {key for key in config if not key.startswith("_")} - parameters.keys()
            assert not unknown, f"{path}: {config['_target_']} takes no {unknown}"


@pytest.mark.parametrize("name", COMPOSED)
def test_references_exist(name: str) -> None:
    parser = parser_of(name)
    found = [
        (path, reference)
        for path, value in walk(parser.get())
        if isinstance(value, str)
        for reference in ReferenceResolver.match_refs_pattern(value)
    ]
    assert found
    missing = [f"{path}: @{reference}" for path, reference in found if reference not in parser]
    assert not missing


@pytest.mark.parametrize("name", COMPOSED)
def test_expressions_do_no_more_than_allowed(name: str) -> None:
    for path, expression in expressions(name):
        assert any(re.fullmatch(pattern, expression[1:]) for pattern in ALLOWED.values()), (
            f"{path}: {expression!r} does more than {', '.join(ALLOWED)}; make it a component with a name"
        )


def test_every_allowance_is_needed() -> None:
    used = [expression[1:] for name in COMPOSED for _, expression in expressions(name)]
    needless = [kind for kind, pattern in ALLOWED.items() if not any(re.fullmatch(pattern, text) for text in used)]
    assert not needless


@pytest.mark.parametrize("name", COMPOSED)
def test_no_number_is_text(name: str) -> None:
    texts = [value for _, value in walk(read(name)) if isinstance(value, str)]
    assert not [text for text in texts if re.fullmatch(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", text, re.IGNORECASE)]


@pytest.mark.parametrize("name", ["train", "inference"])
def test_ids_are_in_the_usual_order(name: str) -> None:
    content = read(name)
    positions = [list(content).index(key) for key in ORDER if key in content]
    assert positions == sorted(positions)
    assert list(content)[-1] == "run"
    settings = [key for key, value in content.items() if not isinstance(value, (dict, list)) and key != "_desc_"]
    settings = [key for key in settings if key != "device"]
    components_start = list(content).index("run_dir" if name == "train" else "device")
    assert max(list(content).index(key) for key in settings) < components_start, "settings come first"


@pytest.mark.parametrize("name", ["train", "inference"])
def test_each_config_stands_alone(name: str) -> None:
    content = read(name)
    texts = [value for _, value in walk(content) if isinstance(value, str)]
    assert not [text for text in texts if text.startswith("%") or ".json" in text.partition("docs/")[0]]
    assert "scripts.bundle_root" in content["bundle_root"]["_target_"], "not the working directory"
    phase = {"train": "training", "inference": "inference"}[name]
    assert content["run"] == content[phase]


# --- train and inference agree ---------------------------------------------------------------------------------------


def intensity_ranges(name: str) -> list[dict[str, Any]]:
    keys = ("a_min", "a_max", "b_min", "b_max", "clip")
    return [
        {key: config.get(key) for key in keys}
        for _, config in components(name)
        if config["_target_"].startswith("ScaleIntensity")
    ]


def test_train_and_inference_agree() -> None:
    train, inference = read("train"), read("inference")
    assert {**train["network_def"], "pretrained": False} == inference["network_def"]
    assert train["network_def"]["pretrained"] == "@pretrained"
    assert train["pretrained"] is False
    assert train["mpp"] == inference["mpp"] == MODEL_MPP
    assert train["patch_size"] == [inference["patch_size"]] * 2 == [PATCH_SIZE] * 2
    (train_range,), (inference_range,) = intensity_ranges("train"), intensity_ranges("inference")
    assert train_range == inference_range
    for key in ("precision", "backend", "assume_mpp", "device", "bundle_root", "imports"):
        assert train[key] == inference[key], key


def test_configs_agree_with_the_geometry() -> None:
    train = read("train")
    assert train["region_size"] == REGION_SIZE
    assert tuple(train["grid_shape"]) == GRID_SHAPE
    assert REGION_SIZE == CELL_SIZE * GRID_SHAPE[0] == CELL_SIZE * GRID_SHAPE[1], "cells fill the region"


def test_configs_agree_with_the_metadata() -> None:
    image = read("metadata")["network_data_format"]["inputs"]["image"]
    inference = read("inference")
    assert image["spatial_shape"] == [inference["patch_size"]] * 2
    (found,) = intensity_ranges("inference")
    assert [found["b_min"], found["b_max"]] == image["value_range"]
    assert [found["a_min"], found["a_max"]] == [0, 255]


def test_training_is_what_was_asked_for() -> None:
    train = read("train")
    assert train["network_def"]["_target_"] == "TorchVisionFCModel"
    assert (train["network_def"]["model_name"], train["network_def"]["use_conv"]) == ("resnet18", True)
    assert train["network_def"]["num_classes"] == 1
    assert train["optimizer"]["_target_"] == "Novograd"
    assert train["learning_rate"] == 1e-3
    assert train["lr_scheduler"]["_target_"].endswith("CosineAnnealingLR")
    assert train["loss"]["_target_"].endswith("BCEWithLogitsLoss")
    assert train["train"]["sampler"]["shuffle"] is train["train"]["sampler"]["fill"] is True
    assert not {"shuffle", "fill"} & train["validate"]["sampler"].keys()
    augmentation = train["train"]["augmentation"]
    assert augmentation["color"] == {
        "_target_": "scripts.training.jitter.ColorJitter",
        "brightness": 0.25,
        "contrast": 0.75,
        "saturation": 0.25,
        "hue": 0.04,
    }
    assert (augmentation["zoom"], augmentation["resample_prob"]) == ([0.9, 1.1], 0.5)


def test_validation_leaves_out_what_is_random() -> None:
    train = read("train")
    training, validation = train["train"]["prepare_batch"], train["validate"]["prepare_batch"]
    assert training == {**validation, "augmentation": "@train#augmentation", "patch_size": "@field_size"}
    assert train["field_size"] == "@patch_size"
    for transform in train["train"]["deterministic_transforms"] + train["train"]["intensity_transforms"]["transforms"]:
        assert not transform["_target_"].startswith("Rand")


def test_weights_are_beside_the_config_wherever_it_is() -> None:
    parser = parser_of("inference")
    assert Path(parser.get_parsed_content("weights")) == Path(bundle_root()) / "models" / "model.pt"
    assert Path(parser.get_parsed_content("bundle_root")) == CONFIGS.parent


# --- overlays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, files in COMPOSED.items() if len(files) > 1])
def test_overlay_keys_exist_in_the_base_or_are_declared_new_at_the_top(name: str) -> None:
    base = ConfigParser()
    base.read_config([CONFIGS / file for file in COMPOSED[name][:-1]])
    content = read(name)
    keys = [key for key in content if key != "_desc_"]
    new = [key for key in keys if key.removeprefix("+") not in base and key not in ("finalize", "evaluating")]
    assert keys[: len(new)] == new, "new ids come first"
    for key in new:
        assert "#" not in key
        assert not isinstance(content[key], dict), f"{key}: a new id is a setting"
        assert f'"@{key}"' in json.dumps(content), f"{key}: nothing uses it"


def test_the_screening_model_is_trained_and_run_alike() -> None:
    train, inference = parser_of("train_10x"), parser_of("screen_10x")
    assert {**train["network_def"], "pretrained": False} == inference["network_def"]
    assert train["mpp"] == inference["mpp"] == 4 * MODEL_MPP
    assert train["patch_size"] == [inference["patch_size"]] * 2
    assert train["picture_size"] == inference["patch_size"]


def test_pretraining_and_the_screening_model_go_in_either_order() -> None:
    found = []
    for last in (["train_10x.json", "pretrain.json"], ["pretrain.json", "train_10x.json"]):
        parser = ConfigParser()
        parser.read_config([CONFIGS / name for name in ["train.json", "train_patches.json", *last]])
        found.append({key: value for key, value in parser.get().items() if key != "_desc_"})
    assert found[0] == found[1]
    assert found[0]["patch_size"] == [96, 96]
    assert found[0]["validate"]["evaluator"] is None


def test_patches_overlay_replaces_both_phases() -> None:
    content = read("train_patches")
    for key in ("datalist", "dataset"):
        assert content[f"train#{key}"].keys() - {"table_repeats"} == content[f"validate#{key}"].keys()
        assert content[f"train#{key}"]["_target_"] == content[f"validate#{key}"]["_target_"]


@pytest.mark.parametrize("overlay", ["train_patches", "finetune", "train_10x", "train_dense"])
def test_several_processes_go_with_every_overlay_of_training(overlay: str) -> None:
    """What they replace, no other overlay gives, and what the others give still goes through the ranks' samplers."""
    taken = read("multi_gpu_train").keys() - {"_desc_"}
    assert not taken & read(overlay).keys()
    parser = ConfigParser()
    parser.read_config([CONFIGS / name for name in [*COMPOSED[overlay], "multi_gpu_train.json"]])
    for phase in ("train", "validate"):
        loader = parser[phase]["dataloader"]
        assert loader["sampler"] == f"@{phase}#sampler"
        assert loader["batch_size"] == f"$@{phase}#sampler.local_batch_size()"
        assert parser[phase]["sampler"]["dataset"] == f"@{phase}#dataset"
        assert (parser[phase]["sampler"]["rank"], parser[phase]["sampler"]["num_ranks"]) == ("@rank", "@num_ranks")
    assert parser["validate"]["evaluator"]["network"] == "@average", "validation waits for no other process"


def test_only_the_first_process_writes() -> None:
    train = read("train")
    told = ("StatsHandler", "TensorBoardStatsHandler", "scripts.training.handlers.EpochBar")
    for phase in ("train", "validate"):
        for handler in train[phase]["handlers"]:
            if handler == "@checkpoints":  # takes the rank, and all processes stop with it
                continue
            assert (handler.get("_disabled_") == "@is_not_rank0") == (handler["_target_"] in told)
    checkpoints = train["checkpoints"]
    assert checkpoints["rank"] == "@rank"
