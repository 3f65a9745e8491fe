"""A classifier of nodes is saved and read without code; files that hold anything else, or lie, are refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from scripts.errors import InputError
from scripts.staging import classifier as module
from scripts.staging.classifier import Classifier, class_and_score, fit_classifier, load_classifier, save_classifier
from scripts.staging.features import NAMES
from scripts.staging.nodes import CLASSES, NodeSettings


@pytest.fixture(scope="module")
def fitted() -> Classifier:
    rng = np.random.default_rng(0)
    features = rng.random((60, len(NAMES)))
    classes = [CLASSES[int(value)] for value in features[:, 5] * 4]
    classifier = fit_classifier(features, classes, NodeSettings(threshold=0.4))
    return Classifier(classifier.forest.set_params(n_estimators=100), classifier.settings)


@pytest.fixture(scope="module")
def saved(fitted: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "classifier.skops"
    save_classifier(path, fitted)
    return path


def test_a_classifier_comes_back_as_it_was(fitted: Classifier, saved: Path) -> None:
    again = load_classifier(saved)
    features = np.random.default_rng(1).random((40, len(NAMES)))
    np.testing.assert_array_equal(again.probabilities(features), fitted.probabilities(features))
    assert again.settings == fitted.settings
    np.testing.assert_allclose(again.probabilities(features).sum(axis=1), 1)
    called = [class_and_score(row)[0] for row in again.probabilities(features)]
    truth = [CLASSES[int(value)] for value in features[:, 5] * 4]
    assert np.mean([name == true for name, true in zip(called, truth, strict=True)]) > 0.5  # of four classes


def test_the_same_seed_gives_the_same_forest_and_an_unseen_class_probability_0() -> None:
    rng = np.random.default_rng(2)
    features, classes = rng.random((20, len(NAMES))), ["micro", "negative"] * 10
    first, again, other = (fit_classifier(features, classes, NodeSettings(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.probabilities(features), again.probabilities(features))
    assert (first.probabilities(features) != other.probabilities(features)).any()
    assert not first.probabilities(features)[:, [CLASSES.index("itc"), CLASSES.index("macro")]].any()
    assert class_and_score(np.array([0.3, 0.1, 0.4, 0.2])) == ("micro", pytest.approx(0.7))


def _rewritten(source: Path, target: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """The file with a change to its schema and its arrays."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    change(schema, members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in {**members, "schema.json": json.dumps(schema).encode()}.items():
            archive.writestr(name, content)
    return target


def _called(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    schema["content"]["evil"] = {
        **{"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "__id__": 1},
        "content": {"module_path": "os", "function": "system"},
    }


def _random_state(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    """A type that skops trusts by itself."""
    schema["content"]["more"] = {
        **{"__class__": "RandomState", "__module__": "numpy.random.mtrand", "__loader__": "RandomStateNode"},
        "content": {},
    }


def _method(schema: dict[str, Any], members: dict[str, bytes]) -> None:
    schema["content"]["more"] = {"__class__": "str", "__module__": "builtins", "__loader__": "MethodNode"}


@pytest.mark.parametrize("change", [_called, _random_state, _method])
def test_what_might_run_code_is_refused_before_anything_is_built(
    saved: Path, tmp_path: Path, change: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _rewritten(saved, tmp_path / "evil.skops", change)
    monkeypatch.setattr(skops.io, "load", lambda *_, **__: pytest.fail("skops was asked to build it"))
    with pytest.raises(InputError, match="which may run code"):
        load_classifier(path)


class _Runs:
    def __reduce__(self) -> Any:
        return print, ("this ran",)


def test_a_dump_of_skops_with_a_call_in_it_is_refused(
    tmp_path: Path, fitted: Classifier, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evil.skops"
    skops.io.dump({"forest": fitted.forest, "call": print, "bound": "text".upper}, path)
    with pytest.raises(InputError, match="which may run code"):
        load_classifier(path)
    import pickle

    path.write_bytes(pickle.dumps(_Runs()))
    with pytest.raises(InputError, match="not a classifier"):
        load_classifier(path)
    assert "this ran" not in capsys.readouterr().out


def _nodes_of_trees(members: dict[str, bytes]) -> dict[str, np.ndarray[Any, Any]]:
    arrays = {name: np.load(io.BytesIO(data)) for name, data in members.items() if name.endswith(".npy")}
    return {name: array for name, array in arrays.items() if "left_child" in (array.dtype.names or ())}


@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", 10**6), ("right_child", -7), ("left_child", 0), ("feature", 10**6), ("feature", -5)],
    ids=["beyond", "before", "in a circle", "feature beyond", "feature before"],
)
def test_trees_that_point_beyond_themselves_are_refused(saved: Path, tmp_path: Path, field: str, value: int) -> None:
    def change(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        name, nodes = next(iter(_nodes_of_trees(members).items()))
        nodes[field][0] = value
        buffer = io.BytesIO()
        np.save(buffer, nodes)
        members[name] = buffer.getvalue()

    with pytest.raises(InputError, match="points beyond itself"):
        load_classifier(_rewritten(saved, tmp_path / "lies.skops", change))


def test_files_of_another_kind_are_refused(saved: Path, tmp_path: Path, fitted: Classifier) -> None:
    for name, content in (("text.skops", b"no zip"), ("empty.skops", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="not a classifier"):
            load_classifier(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        load_classifier(tmp_path / "none.skops")
    skops.io.dump({"forest": fitted.forest, "format": "else"}, tmp_path / "other.skops")
    with pytest.raises(InputError, match="not a classifier of this version"):
        load_classifier(tmp_path / "other.skops")
    half = tmp_path / "half.skops"
    half.write_bytes(saved.read_bytes()[:5000])
    with pytest.raises(InputError, match="not a classifier"):
        load_classifier(half)


def test_a_bomb_is_not_unpacked(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_BYTES", 1000)
    with pytest.raises(InputError, match="unpacks to more than 1,000 bytes"):
        load_classifier(saved)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(InputError, match="skops is not installed; install the package's extra 'stage'"):
        load_classifier(saved)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(InputError, match="scikit-learn is not installed; install the package's extra 'stage'"):
        fit_classifier(np.zeros((2, len(NAMES))), ["itc", "micro"], NodeSettings())
