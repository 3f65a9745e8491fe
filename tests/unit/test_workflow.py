from __future__ import annotations

import gc
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.forked_commands import Started
from scripts import bundle_root
from scripts.errors import InputError, explain
from scripts.workflow import _quiet_monai, check_configs, create_workflow, device_override, find_overlays, run_bundle

CONFIGS = Path(bundle_root()) / "configs"


def test_overlays_are_found_by_path_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine").write_text("{}")
    assert find_overlays([str(tmp_path / "mine.json"), "sub/mine", "mine.json"]) == [
        tmp_path / "mine.json",
        Path("sub/mine"),
        Path("mine.json"),
    ]
    assert find_overlays(["train_patches.json", "train_patches"]) == [CONFIGS / "train_patches.json"] * 2
    assert find_overlays([]) == []


def test_a_file_here_goes_before_one_of_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train_patches.json").write_text("{}")
    assert find_overlays(["train_patches.json"]) == [Path("train_patches.json")]


@pytest.mark.parametrize("name", ["nope.json", "nope", ".", "sub"])
def test_a_missing_overlay_is_named_with_those_there_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match=rf"^--config_file {name}: no such file, .*, which has .*train_patches\.json"):
        find_overlays([name])


def test_a_config_runs_with_overrides_and_overlays_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != bundle_root()])
    result = tmp_path / "result.json"
    config = {
        "imports": ["$import json", "$import pathlib"],
        "stride": "$@base + 1",
        "root": {"_target_": "scripts.bundle_root"},
        "note": f"$pathlib.Path('{result}').write_text(json.dumps([@base, @stride, @root]))",
        "run": ["$@note"],
    }
    (tmp_path / "overlay.json").write_text(json.dumps(config))
    (tmp_path / "second.json").write_text(json.dumps({"base": 5}))
    run_bundle("run", "inference.json", {"base": 41}, ["overlay.json", "second.json"])
    assert json.loads(result.read_text()) == [41, 42, bundle_root()]
    assert bundle_root() in sys.path


def test_a_missing_overlay_stops_the_run_before_anything(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        run_bundle("run", "inference.json", {}, [str(tmp_path / "nope.json")])


@pytest.mark.parametrize(
    ("given", "expected"),
    [("cpu", "$torch.device('cpu')"), ("cuda:1", "$torch.device('cuda:1')"), ("$torch.device('cpu')",) * 2],
)
def test_a_device_may_be_given_by_name(given: str, expected: str) -> None:
    assert device_override({"device": given, "stride": 64}) == {"device": expected, "stride": 64}


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match="cpu, cuda or cuda:<number>, but got 'gpu'"):
        device_override({"device": "gpu"})
    assert device_override({"stride": 64}) == {"stride": 64}


def test_what_a_run_made_is_freed_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines and handlers name each other, as this object does itself; such a network would stay in memory."""
    monkeypatch.chdir(tmp_path)
    config = {
        "imports": ["$import pathlib", "$import weakref"],
        "loop": {"_target_": "argparse.Namespace"},
        "run": [
            "$setattr(@loop, 'me', @loop)",
            "$weakref.finalize(@loop, pathlib.Path('freed').touch)",
        ],
    }
    (tmp_path / "overlay.json").write_text(json.dumps(config))
    gc.disable()
    try:
        run_bundle("run", "inference.json", {}, ["overlay.json"])
        assert (tmp_path / "freed").exists()
    finally:
        gc.enable()


def test_all_lines_of_a_run_have_one_form_and_monai_tells_its_warnings_only(tmp_path: Path) -> None:
    code = "from scripts.workflow import run_bundle; run_bundle('run', 'inference.json', {}, ['overlay.json'])"
    told = [("monai.bundle.scripts", "warning"), ("monai.bundle.workflows", "error"), ("scripts.inference", "info")]
    steps = [f"$logging.getLogger('{name}').{level}('{level} of {name}')" for name, level in told]
    (tmp_path / "overlay.json").write_text(json.dumps({"imports": ["$import logging"], "run": steps}))
    with Started(["python", "-c", code], tmp_path) as process:
        assert process.wait() == 0, process.said
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "TIME ", line) for line in process.said.splitlines()]
    assert lines == [f"TIME {level.upper()} {level} of {name}" for name, level in told]


# --- workflows that a Python user asks for ------------------------------------------------------------------------


def test_a_workflow_gives_its_ids_before_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != bundle_root()])
    (tmp_path / "a.tif").touch()
    (tmp_path / "mine.json").write_text(json.dumps({"ran": "$[]", "go": ["$@ran.append(@stride)"]}))
    names = ["inference", "mine.json"]
    workflow = create_workflow(names, run_id="go", slides=Path("a.tif"), stride=96, device="cpu", logging_file=False)
    assert bundle_root() in sys.path
    assert workflow.bundle_root == bundle_root()
    assert workflow.dataset_data == [{"image": "a.tif"}]
    assert type(workflow.network_def).__name__ == "TorchVisionFCModel"
    assert str(workflow.device) == "cpu"
    assert workflow.check_properties() == []
    assert workflow.parser.get_parsed_content("dataset").stride == 96
    assert workflow.parser.get_parsed_content("ran") == []
    workflow.run()
    workflow.finalize()
    assert workflow.parser.get_parsed_content("ran") == [96]


@pytest.mark.parametrize(("config", "kind"), [("train", "train"), ("inference.json", "infer")])
def test_a_workflow_has_the_properties_of_its_kind(config: str, kind: str) -> None:
    assert create_workflow(config, logging_file=False).workflow_type == kind


@pytest.mark.parametrize(
    ("configs", "overrides", "message"),
    [
        ("nope", {}, "nope: no such file"),
        ("inference", {"stride": 0}, "stride: expected"),
        (["inference", "finetune"], {}, "finetune.json is an overlay on train.json"),
        ("inference", {"device": "gpu"}, "cpu, cuda or cuda:<number>"),
        (
            "inference",
            {"tile_sise": 512},
            r"^tile_sise changes nothing: .* did you mean 'tile_size'\?",
        ),
        ("train", {"num_epochs": 3}, r"^num_epochs changes nothing: train\.json has no such id; use epochs; docs"),
        (
            ["train", "finetune"],
            {"lr": 1, "x": "@lt"},
            r"^lr .*: train\.json, finetune\.json .*learning_rate",
        ),
        ("inference", {"handler#0#x": 1}, "^handler#0#x changes nothing: "),
    ],
)
def test_a_workflow_with_a_wrong_setting_is_refused(
    configs: str | list[str], overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        create_workflow(configs, **overrides)


def test_a_workflow_takes_what_another_setting_names_and_new_arguments_of_components(tmp_path: Path) -> None:
    more = {"half": 48, "stride": "$2 * @half", "evaluator#amp": False}
    workflow = create_workflow("inference", slides=tmp_path, logging_file=False, **more)
    assert workflow.parser.get_parsed_content("stride") == 96


# --- settings -----------------------------------------------------------------------------------------------------

WRONG = [
    *[
        (key, value, "a whole number")
        for key in ("stride", "batch_size")
        for value in (-1, 0, 2.5, 1e308, 10**30, True)
    ],
    *[("mpp", value, "a number") for value in (1e308, float("nan"), float("inf"), 10**400, True, None, "0.25", [0.25])],
    *[(key, value, "true or false") for key in ("resume", "tta") for value in (0, 1, None, "yes", [], {})],
    *[(key, value, "a text") for key in ("output_dir", "mode") for value in (0, None, "", [], {}, ["a"])],
    *[("slides", value, "a text or a list of texts") for value in (0, None, "", [], {}, [None], [3])],
    *[("assume_mpp", value, "a number up to 1e12 or null") for value in ("", True, [], {}, 1e308)],
    *[("weights", value, "a text or null") for value in (0, True, "", [], {})],
    *[("num_workers", value, "a whole number") for value in (-1, None, "four", [], {}, 2**31 - 1)],
    *[(key, value, "a component, that is") for key in ("network", "preprocessing") for value in (0, None, [], "a", {})],
    *[("datalist", value, "a component, that is") for value in (0, None, "a", {}, [None], [-3, 0])],
    *[("queue", value, "a component, that is an object with _target_ or null") for value in (0, [], "a", {"a": 1})],
    *[
        ("patch_size", value, "a whole number of pixels from 1 to 10000 or a list")
        for value in (0, None, "", {}, [], [0, 1])
    ],
]


@pytest.mark.parametrize(("key", "value", "expected"), WRONG)
@pytest.mark.parametrize("where", ["flag", "file"])
def test_a_setting_of_another_kind_is_refused(
    tmp_path: Path, key: str, value: object, expected: str, where: str
) -> None:
    paths, overrides = [CONFIGS / "inference.json"], {key: value}
    if where == "file":
        (tmp_path / "mine.json").write_text(json.dumps({key: value}))
        paths, overrides = [*paths, tmp_path / "mine.json"], {}
    with pytest.raises(InputError) as caught:
        check_configs(paths, overrides)
    source = f"{tmp_path / 'mine.json'}: " if where == "file" else ""
    assert str(caught.value).startswith(f"{source}{key}: expected {expected}")
    assert str(caught.value).endswith("; see docs/configs.md")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("train", 0, "an object of ids"),
        ("grid_shape", [], "a list of two whole numbers from 1 to 10000"),
        ("grid_shape", [3, None], "a list of two whole numbers from 1 to 10000"),
        ("epochs", 0, "a whole number from 1"),
        ("region_size", 0, "a whole number of pixels from 1 to 10000"),
        ("region_size", 2**31 - 1, "a whole number of pixels from 1 to 10000"),
        ("grid_shape", [3, 10**30], "a list of two whole numbers from 1 to 10000"),
        ("patience", 0, "a whole number from 1 to 2147483647 or null"),
        ("frozen", "features.0", "a list"),
        ("learning_rate", "fast", "a number"),
    ],
)
def test_a_setting_of_training_of_another_kind_is_refused(key: str, value: object, expected: str) -> None:
    with pytest.raises(InputError, match=f"^{key}: expected {expected}"):
        check_configs([CONFIGS / "train.json"], {key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stride", 32),
        ("stride", "$2 * 16"),
        ("stride", "@tile_size"),
        ("mpp", 1),
        ("weights", None),
        ("weights", Path("a.pt")),
        ("slides", ["a.tif"]),
        ("slides", ("a.tif",)),
        ("num_workers", {"_target_": "os.cpu_count"}),
        ("num_workers", 4),
        ("patch_size", [96, 96]),
        ("network_def", {"_target_": "torch.nn.Identity"}),
        ("an id of somebody's own", {}),
    ],
)
def test_a_setting_of_its_kind_is_taken(key: str, value: object) -> None:
    check_configs([CONFIGS / "inference.json"], {key: value})


def test_settings_of_the_challenge_are_taken_as_docs_tell_them() -> None:
    """Its foreground is no component, as it is in inference.json."""
    check_configs([CONFIGS / "camelyon16.json"], {"foreground": {"min_value": 0.2}, "limit_per_slide": None})
    with pytest.raises(InputError, match=r"^foreground: expected an object of ids, found 'masks'"):
        check_configs([CONFIGS / "camelyon16.json"], {"foreground": "masks"})


@pytest.mark.parametrize(
    "name", ["train", "inference", "camelyon16", "train_patches", "train_10x", "pretrain", "train_dense"]
)
def test_the_bundles_own_settings_are_of_their_kinds(name: str) -> None:
    base = f"{name}.json" if name in ("inference", "camelyon16") else "train.json"
    paths = [CONFIGS / base, CONFIGS / "train_patches.json"] if name in ("train_10x", "pretrain") else [CONFIGS / base]
    content = json.loads((CONFIGS / f"{name}.json").read_text())
    check_configs([*paths, CONFIGS / f"{name}.json"], content)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train", "train_10x"], "train_10x.json is an overlay on train_patches.json, .*; add train_patches.json"),
        (["train", "train_10x", "train_patches"], "train_10x.json is an overlay on train_patches.json, which does not"),
        (["train", "pretrain"], "pretrain.json is an overlay on train_patches.json"),
        (["train", "train_taught"], "train_taught.json is an overlay on train_patches.json"),
        (["train", "screen_10x"], "screen_10x.json is an overlay on inference.json, .*; this command runs train.json"),
        (["inference", "train_patches"], "train_patches.json is an overlay on train.json, .*; this command runs infer"),
        (["inference", "finetune"], "finetune.json is an overlay on train.json"),
        (["screen_10x"], "screen_10x.json is an overlay on inference.json, .*; add inference.json"),
        (["train_patches"], "train_patches.json is an overlay on train.json, .*; add train.json"),
    ],
)
def test_an_overlay_without_what_it_lies_on_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_configs([CONFIGS / f"{name}.json" for name in names], {})


@pytest.mark.parametrize(
    "names",
    [
        ["train", "train_patches", "train_10x", "train_taught"],
        ["train", "train_patches", "pretrain", "train_10x"],
        ["train", "train_dense", "train_patches"],
        ["train", "finetune", "mlflow", "multi_gpu_train"],
        ["train", "train_patches", "train_10x", "evaluate"],
        ["inference", "screen_10x", "multi_gpu_inference"],
        ["inference", "inference_onnx"],
        ["inference", "inference_trt"],
    ],
)
def test_an_overlay_over_what_it_lies_on_is_taken(names: list[str]) -> None:
    check_configs([CONFIGS / f"{name}.json" for name in names], {})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"a": "@b", "b": "@a", "run": ["$@a"]}, "config: detected circular references"),
        ({"a": "@a", "run": ["$@a"]}, "config: detected circular references"),
        ({"a": "@b", "b": "@c", "c": "$@a + 1", "run": ["$@a"]}, "config: detected circular references"),
        ({"mpp": "@stride", "stride": "@mpp", "run": ["$@mpp"]}, "config: detected circular references"),
        ({"a": "@gone", "run": ["$@a"]}, "config: the referring item `@gone` is not defined"),
        ({"a": "%gone", "run": ["$@a"]}, "config: "),
        ({"a": "$1/0", "run": ["$@a"]}, "config: Failed to evaluate ConfigExpression: '$1/0' (division by zero)"),
        ({"a": {"_target_": "scripts.nowhere.Nothing"}, "run": ["$@a"]}, "config: "),
        ({"a": "$1 +", "run": ["$@a"]}, "config: the expression '1 +' is no Python (invalid syntax); mend what stands"),
    ],
)
def test_ids_that_lead_nowhere_are_one_line(tmp_path: Path, config: dict[str, object], expected: str) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({**config, "initialize": []}))
    with pytest.raises(Exception, match=r".") as caught:
        run_bundle("run", "inference.json", {}, [str(tmp_path / "mine.json")])
    assert explain(caught.value).startswith(expected)
    assert "unexpected" not in explain(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbf{}", "expected UTF-8 without a byte order mark"),
        ("{}".encode("utf-16"), "expected UTF-8 without a byte order mark"),
        ("{}".encode("utf-16-le"), "expected UTF-8 without a byte order mark"),
        (b'{"": 1}', "expected ids of one character or more"),
        (b"[1]", "expected a config, an object of ids"),
    ],
)
def test_a_config_that_monai_does_not_read_is_told_with_its_file(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"mine\.json: {expected}"):
        run_bundle("run", "inference.json", {}, [str(tmp_path / "mine.json")])


def test_a_config_that_is_nested_too_deeply_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("monai.bundle.run", fail)  # how deep is too deep depends on the Python version
    monkeypatch.setattr("monai.bundle.create_workflow", fail)
    with pytest.raises(InputError, match="config: nested too deeply, or ids copy each other"):
        run_bundle("run", "inference.json", {})
    with pytest.raises(InputError, match="config: nested too deeply, or ids copy each other"):
        create_workflow("inference")


def nested_ids(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Ids below the top of a config and their defaults that are no expressions."""
    for name, value in content.items() if isinstance(content, dict) else enumerate(content):
        path = f"{key}#{name}" if key else str(name)
        if str(name).startswith("_") or (isinstance(value, str) and value.startswith(("$", "@", "%"))):
            continue
        if key and value is not None:
            yield path, value
        if isinstance(value, (dict, list)):
            yield from nested_ids(value, path)


def is_alike(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of a default, and may take its place."""
    if isinstance(default, dict):
        return isinstance(value, dict) and "_target_" not in default
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        return type(value) in (int, float)
    return type(value) is type(default)


@pytest.mark.parametrize("config", ["inference.json", "train.json"])
def test_a_nested_setting_is_held_to_the_kind_of_its_default(config: str) -> None:
    """One of another kind would end as a TypeError, or be used for something else."""
    ids = dict(nested_ids(json.loads((CONFIGS / config).read_text())))
    assert len(ids) > 10
    for key, default in ids.items():
        for odd in ({"odd": 1}, "odd", 0.5, True):
            if is_alike(odd, default):
                continue
            with pytest.raises(InputError, match=f"^{re.escape(key)}: expected .*, found .*; see docs/configs.md$"):
                check_configs([CONFIGS / config], {key: odd})
        for fine in (default, None, "$1 + 1", "@other", {"_target_": "some.Component"}):
            check_configs([CONFIGS / config], {key: fine})
    check_configs([CONFIGS / config], {"no#such#id": {"odd": 1}, "run#7": 3})


def test_lists_may_be_named_by_number_and_numbers_replaced_by_lists() -> None:
    check_configs([CONFIGS / "inference.json"], {"preprocessing#transforms#0#a_max": 1, "network_def#num_classes": [1]})
    with pytest.raises(InputError, match=r"preprocessing#transforms#0#keys: expected a text or null, found 3"):
        check_configs([CONFIGS / "inference.json"], {"preprocessing#transforms#0#keys": 3})


def test_lines_of_engines_are_left_out_but_for_their_epochs(caplog: pytest.LogCaptureFixture) -> None:
    """Ignite tells a resumed training by a number of iterations; the bundle's own line names epoch and step."""
    _quiet_monai()
    logger = logging.getLogger("ignite.engine.engine.SupervisedTrainer")
    with caplog.at_level(logging.INFO):
        logger.info("Engine run resuming from iteration 7, epoch 1 until 3 epochs")
        logger.info("Epoch[1] Complete. Time taken: 00:01:02.003")
    assert [record.getMessage()[:8] for record in caplog.records] == ["Epoch[1]"]
