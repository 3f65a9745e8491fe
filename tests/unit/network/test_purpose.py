"""Weights say what they are for, and are refused for anything else; those that say nothing are used with a warning."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts import bundle_root
from scripts.errors import InputError
from scripts.network.hashes import file_sha256
from scripts.network.network import load_weights
from scripts.network.purpose import (
    check_purpose,
    make_purpose,
    overlay_for,
    read_purpose,
    shipped_weights,
    sidecar_path,
    write_weights,
)

MODELS = Path(bundle_root()) / "models"
STATE = {"layer.weight": torch.linspace(-1, 1, 7)}
FINE, SCREENING = make_purpose(0.243, [224, 224]), make_purpose(0.972, 96)


def weights_for(folder: Path, mpp: Any, patch_size: Any, name: str = "own.pt") -> Path:
    write_weights(folder / name, STATE, make_purpose(mpp, patch_size, {"folders": ["pcam"]}))
    return folder / name


# --- sidecars -----------------------------------------------------------------------------------------------------


def test_weights_and_sidecar_are_written_together(tmp_path: Path) -> None:
    path = weights_for(tmp_path, 0.5, [64, 96])
    torch.testing.assert_close(torch.load(path), STATE)
    assert json.loads((tmp_path / "own.json").read_text()) == {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "mpp": 0.5,
        "patch_size": [64, 96],
        "trained_on": {"folders": ["pcam"]},
        "version": json.loads((MODELS.parent / "configs" / "metadata.json").read_text())["version"],
    }
    assert read_purpose(path) == make_purpose(0.5, (64, 96), {"folders": ["pcam"]})


def test_ranges_of_appearance_are_kept_and_others_refused(tmp_path: Path) -> None:
    ranges = {"brightness": [80, 190.5], "sharpness": [-0.5, 0.0]}
    write_weights(tmp_path / "own.pt", STATE, make_purpose(0.5, 96, appearance=ranges))
    found = read_purpose(tmp_path / "own.pt")
    assert found is not None
    assert found.appearance == found.content()["appearance"] == ranges
    for wrong in ([1, 2], {"brightness": 3}, {"brightness": [2, 1]}, {"brightness": [0, float("inf")]}):
        content = json.loads((tmp_path / "own.json").read_text()) | {"appearance": wrong}
        (tmp_path / "own.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"own\.json: appearance must be an object of \[low, high\]"):
            read_purpose(tmp_path / "own.pt")


def test_weights_of_no_known_purpose_are_written_alone(tmp_path: Path) -> None:
    write_weights(tmp_path / "own.pt", STATE, None)
    assert [path.name for path in tmp_path.iterdir()] == ["own.pt"]
    assert read_purpose(tmp_path / "own.pt") is None


@pytest.mark.parametrize(
    ("weights", "sidecar"),
    [("a.pt", "a.json"), ("a.b.pt", "a.b.json"), ("a.onnx", "a.onnx.json"), ("a.ts", "a.ts.json"), ("a", "a.json")],
)
def test_an_exported_network_has_a_sidecar_of_its_own(weights: str, sidecar: str) -> None:
    assert sidecar_path(Path("x") / weights) == Path("x") / sidecar


def test_activations_are_kept_and_others_refused(tmp_path: Path) -> None:
    tops = {"act": [1.5, 0.0], "relu": [3]}
    write_weights(tmp_path / "own.pt", STATE, make_purpose(0.5, 96, activations=tops))
    found = read_purpose(tmp_path / "own.pt")
    assert found is not None
    assert found.activations == found.content()["activations"] == tops
    for wrong in ([1.0], {"act": 1.0}, {"act": []}, {"act": [-1.0]}, {"act": ["1"]}, {"act": [True]}, {"act": [1e999]}):
        content = json.loads((tmp_path / "own.json").read_text()) | {"activations": wrong}
        (tmp_path / "own.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"own\.json: (activations must be an object of lists|.*Infinity)"):
            read_purpose(tmp_path / "own.pt")


@pytest.mark.parametrize(("name", "purpose"), [("model.pt", FINE), ("model_10x.pt", SCREENING)])
def test_shipped_weights_are_known_under_any_name(tmp_path: Path, name: str, purpose: Any) -> None:
    copy = Path(shutil.copy(MODELS / name, tmp_path / "copy.bin"))
    for path in (MODELS / name, copy):
        found = read_purpose(path)
        assert found is not None
        assert found.trained_on
        assert found.appearance
        assert found.activations
        known = found._replace(trained_on=None, version=purpose.version, appearance=None, activations=None)
        assert known == purpose


def test_every_shipped_file_has_its_sidecar() -> None:
    weights = sorted(MODELS.glob("*.pt"))
    assert [sidecar_path(path) for path in weights] == sorted(MODELS.glob("*.json"))
    for path in weights:
        assert json.loads(sidecar_path(path).read_text())["sha256"] == file_sha256(path)


def test_a_sidecar_of_other_weights_is_noticed(tmp_path: Path) -> None:
    path = weights_for(tmp_path, 0.5, 96)
    torch.save({"layer.weight": torch.zeros(7)}, path)
    with pytest.raises(InputError, match=r"own\.json: tells of other weights than own\.pt, whose SHA-256 is [0-9a-f]"):
        read_purpose(path)


def test_shipped_weights_are_known_beside_a_sidecar_of_others(tmp_path: Path) -> None:
    path = weights_for(tmp_path, 0.5, 96)
    shutil.copy(MODELS / "model.pt", path)
    found = read_purpose(path)
    assert found is not None
    assert found.fits(FINE)


@pytest.mark.parametrize("content", [{"slide": "own.tif", "mpp": 0.25}, [1], "text", None])
def test_json_that_is_no_sidecar_says_nothing(tmp_path: Path, content: Any) -> None:
    path = weights_for(tmp_path, 0.5, 96)
    (tmp_path / "own.json").write_text(json.dumps(content))
    assert read_purpose(path) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mpp": None}, "mpp must be a number"),
        ({"mpp": "0.5"}, "mpp must be a number"),
        ({"mpp": 1e308}, "mpp must be a number"),
        ({"patch_size": [96, 96, 96]}, "patch_size must be"),
        ({"patch_size": {}}, "patch_size must be"),
    ],
)
def test_a_damaged_sidecar_is_one_line(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    path = weights_for(tmp_path, 0.5, 96)
    content = json.loads((tmp_path / "own.json").read_text())
    (tmp_path / "own.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=rf"own\.json: {expected}.*; mend it or remove it"):
        read_purpose(path)
    (tmp_path / "own.json").write_text("{")
    with pytest.raises(InputError, match=r"own\.json: not a readable JSON file"):
        read_purpose(path)


@pytest.mark.parametrize("value", [0, -1, 1e308, float("nan"), float("inf"), True, None, "", "0.25", [], {}, [0.25]])
def test_an_odd_resolution_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"mpp must be a number of µm per pixel from 0\.01 to 100, but got"):
        make_purpose(value, 96)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, None, "", "96", [], {}, [96, 0], [96, 96, 96], [True], 10**9])
def test_an_odd_patch_size_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="patch_size must be one or two whole numbers of pixels up to 10000, but got"):
        make_purpose(0.25, value)


def test_no_other_file_is_replaced_by_a_sidecar(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"mpp": 0.25}')
    with pytest.raises(InputError, match=r"own\.json: no sidecar of weights, and would be replaced by that of"):
        weights_for(tmp_path, 0.5, 96)
    assert [path.name for path in tmp_path.iterdir()] == ["own.json"]
    assert (tmp_path / "own.json").read_text() == '{"mpp": 0.25}'


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "run", "base", "way_out"),
    [
        ("model_10x.pt", (0.243, 224), "inference.json", "add --config_file screen_10x.json"),
        ("model_10x.pt", (0.243, [224, 224]), "train.json", "add --config_file train_10x.json"),
        ("model.pt", (0.972, 96), "inference.json", "give other --weights, or leave --config_file screen_10x.json out"),
        ("model.pt", (0.972, 96), "train.json", "give other --weights, or leave --config_file train_10x.json out"),
        ("model.pt", (0.5, 224), "inference.json", "give other --weights, or mpp and patch_size as inference.json has"),
        ("model.pt", (0.243, 256), "inference.json", "give other --weights, or mpp and patch_size as inference.json"),
        ("model_10x.pt", (0.972, 224), "inference.json", "add --config_file screen_10x.json"),
        ("model_10x.pt", (0.243, 96), "inference.json", "add --config_file screen_10x.json"),
    ],
)
def test_shipped_weights_are_refused_for_other_settings(
    weights: str, run: tuple[Any, Any], base: str, way_out: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_purpose(MODELS / weights, *run, base)
    text = str(caught.value)
    assert f"{weights}: trained at " in text
    assert f"; {way_out}" in text


def test_own_weights_are_refused_for_other_settings(tmp_path: Path) -> None:
    path = weights_for(tmp_path, 0.5, 160)
    with pytest.raises(InputError) as caught:
        check_purpose(path, 0.243, 224)
    assert str(caught.value) == (
        f"{path}: trained at 0.5 µm per pixel on patches of 160 px, but this run takes 0.243 µm per pixel on "
        "patches of 224 px; give an overlay with the mpp and patch_size of the training"
    )


def test_weights_that_learned_without_labels_start_trainings_only(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    path = tmp_path / "model.pt"
    write_weights(path, network.state_dict(), make_purpose(0.243, 224, knows_tumor=False))
    assert json.loads((tmp_path / "model.json").read_text())["knows_tumor"] is False
    found = read_purpose(path)
    assert found is not None
    assert not found.knows_tumor
    with pytest.raises(InputError, match="made without labels, so its last layer knows no tumor; train from it first"):
        check_purpose(path, 0.243, 224)
    load_weights(network, path)  # to train from them
    write_weights(path, network.state_dict(), make_purpose(0.243, 224))
    assert "knows_tumor" not in json.loads((tmp_path / "model.json").read_text())
    check_purpose(path, 0.243, 224)


@pytest.mark.parametrize(("mpp", "is_fit"), [(0.219, True), (0.2673, True), (0.218, False), (0.28, False)])
def test_resolutions_count_as_equal_within_a_tenth(tmp_path: Path, mpp: float, is_fit: bool) -> None:
    path = weights_for(tmp_path, mpp, 224)
    if is_fit:
        assert check_purpose(path, 0.243, 224) == make_purpose(mpp, 224, {"folders": ["pcam"]})
    else:
        with pytest.raises(InputError, match="trained at"):
            check_purpose(path, 0.243, 224)


@pytest.mark.parametrize(("rank", "count"), [(None, 1), ("0", 1), ("1", 0)])
def test_unknown_weights_are_used_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, rank: str | None, count: int
) -> None:
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    write_weights(tmp_path / "own.pt", STATE, None)
    with caplog.at_level(logging.WARNING):
        assert check_purpose(tmp_path / "own.pt", 0.243, 224) is None
    assert [record.getMessage() for record in caplog.records] == count * [
        f"{tmp_path / 'own.pt'}: nothing says what these weights were trained for, since there is no own.json; this "
        "run takes 0.243 µm per pixel on patches of 224 px"
    ]


def test_known_weights_are_used_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert check_purpose(MODELS / "model.pt", 0.243, [224, 224]) is not None
    assert not caplog.records


def test_the_shipped_weights_are_there_and_fit_a_config() -> None:
    root = Path(bundle_root())
    found = shipped_weights()
    assert set(found) == {path.name for path in (root / "models").glob("*.pt")}
    for name, purpose in found.items():
        overlay = overlay_for(purpose, "inference.json")
        config = json.loads((root / "configs" / (overlay or "inference.json")).read_text())
        assert name in config["weights"]


def test_a_sidecar_written_by_hand_is_held_to_its_form(tmp_path: Path) -> None:
    """As docs/export.md has people do for ONNX files."""
    weights = tmp_path / "model.onnx"
    sidecar = sidecar_path(weights)
    weights.write_bytes(b"any")
    digest = file_sha256(weights)
    form = {"sha256": digest, "mpp": 0.25, "patch_size": 224}
    sidecar.write_text(json.dumps({**form, "sha256": f" {digest.upper()}"}))
    assert read_purpose(weights) == make_purpose(0.25, 224)._replace(version=None)
    del form["sha256"]
    sidecar.write_text(json.dumps(form))
    with pytest.raises(InputError, match=rf'expected the sha256 .* add "sha256": "{digest}"'):
        read_purpose(weights)
    sidecar.write_text(json.dumps({**form, "sha256": digest, "version": 2}))
    with pytest.raises(InputError, match="version: expected a text or null, found 2"):
        read_purpose(weights)
