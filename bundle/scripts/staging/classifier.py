"""A classifier of nodes in place of the rule: a random forest of scikit-learn, in a file that holds no code.

The file is of the form of skops, a zip of JSON and arrays. `load_classifier` reads it only if each type in it is one
that a forest needs, and only if the trees stay within themselves; nothing in it can run, and nothing is unpickled.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..files import atomic_path, check_is_file
from ..maps.files import MapInfo
from .features import NAMES, map_features
from .nodes import CLASSES, NEGATIVE, NodeLesions, NodeSettings

FORMAT = "pathology-tumor-detection node classifier 1"

TYPES = frozenset(
    {
        "DictNode builtins.dict",
        "JsonNode builtins.str",
        "ListNode builtins.list",
        "NdArrayNode numpy.int64",
        "NdArrayNode numpy.ndarray",
        "ObjectNode sklearn.ensemble._forest.RandomForestClassifier",
        "ObjectNode sklearn.tree._classes.DecisionTreeClassifier",
        "TreeNode sklearn.tree._tree.Tree",
        "TupleNode builtins.tuple",
        "TypeNode builtins.str",
    }
)
"""What a file may hold: how skops builds it, and its type. skops trusts more by itself, random generators and methods
among them, and has been wrong about some."""

_NUM_TREES = 100
_MAX_BYTES = 1 << 28
_NODE_KEYS = frozenset({"__class__", "__loader__", "__module__"})


class Classifier(NamedTuple):
    """A fitted classifier.

    Attributes:
        forest: scikit-learn's ``RandomForestClassifier`` over `features.NAMES`.
        settings: how maps are measured, as when it was fitted.
    """

    forest: Any
    settings: NodeSettings

    def probabilities(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Probabilities of the classes.

        Args:
            features: (N, len(NAMES)) float64.

        Returns:
            (N, len(CLASSES)) float64, in the order of `nodes.CLASSES`; 0 of a class that was never seen.
        """
        found = np.zeros((len(features), len(CLASSES)))
        found[:, [CLASSES.index(str(name)) for name in self.forest.classes_]] = self.forest.predict_proba(features)
        return found

    def judge(self, lesions: NodeLesions, prob_map: npt.NDArray[np.floating[Any]], info: MapInfo) -> tuple[str, float]:
        """The most probable class of a node, and the probability that it is not negative; see `runs.Judge`."""
        probabilities = self.probabilities(map_features(lesions, prob_map, info)[None])[0]
        return class_and_score(probabilities)


def class_and_score(probabilities: npt.NDArray[np.float64]) -> tuple[str, float]:
    """The most probable class, and the probability of tumor.

    Args:
        probabilities: (len(CLASSES),) in the order of `nodes.CLASSES`.
    """
    return CLASSES[int(probabilities.argmax())], float(1 - probabilities[CLASSES.index(NEGATIVE)])


def fit_classifier(
    features: npt.NDArray[np.float64], classes: Sequence[str], settings: NodeSettings, seed: int = 0
) -> Classifier:
    """Fit a classifier.

    Args:
        features: (N, len(NAMES)) float64.
        classes: (N,) of `nodes.CLASSES`.
        settings: how the maps were measured.
        seed: of the forest.

    Raises:
        InputError: if scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise _missing("scikit-learn") from error
    forest = RandomForestClassifier(
        _NUM_TREES, min_samples_leaf=2, class_weight="balanced_subsample", random_state=seed, n_jobs=1
    )
    return Classifier(forest.fit(features, np.array(classes)), settings)


def save_classifier(path: Path, classifier: Classifier) -> None:
    """Write a classifier.

    Raises:
        InputError: if skops is not installed, or the folder cannot be written.
    """
    io = _skops()
    content = {
        "format": FORMAT,
        "features": list(NAMES),
        "settings": dict(classifier.settings._asdict()),
        "forest": classifier.forest,
    }
    with atomic_path(path) as temporary:
        io.dump(content, temporary)


def load_classifier(path: str | Path) -> Classifier:
    """Read a classifier, from a stranger too.

    Args:
        path: a file of `save_classifier`.

    Raises:
        InputError: if skops is not installed, the file is damaged, of another form or version, or holds anything but a
            forest and numbers.
    """
    path = Path(path)
    io = _skops()
    found = _types(path)
    if unknown := sorted(found - TYPES):
        raise InputError(
            f"{path}: expected a forest and numbers, found {', '.join(unknown[:3])}, which may run code; use a file "
            "that 'tumor-detection stage --fit' wrote"
        )
    try:
        content = io.load(path, trusted=["sklearn.tree._tree.Tree"])
        settings, forest = NodeSettings(**content["settings"]), content["forest"]
        if content["format"] != FORMAT or content["features"] != list(NAMES):
            raise ValueError("its features are of another version")
        _check_forest(forest)
        settings.check()
    except Exception as error:  # whatever a damaged file makes the libraries raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a classifier of this version ({reason:.200}); fit it again") from error
    return Classifier(forest, settings)


def _types(path: Path) -> set[str]:
    """What a file would have built, without building anything."""
    check_is_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
                raise ValueError(f"it unpacks to more than {_MAX_BYTES:,} bytes")
            schema = json.loads(archive.read("schema.json"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; give a classifier that 'tumor-detection stage --fit' wrote") from error
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            f"{path}: not a classifier ({error}); fit it again with 'tumor-detection stage --fit'"
        ) from error
    return set(_named(schema))


def _named(node: Any) -> Iterator[str]:
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if not _NODE_KEYS.isdisjoint(item):
                yield f"{item.get('__loader__')} {item.get('__module__')}.{item.get('__class__')}"
            stack += item.values()
        elif isinstance(item, list):
            stack += item


def _check_forest(forest: Any) -> None:
    """Refuse trees that point beyond themselves: scikit-learn follows them without a look, outside Python."""
    num_classes = len(forest.classes_)
    if not set(map(str, forest.classes_)) <= set(CLASSES) or forest.n_features_in_ != len(NAMES):
        raise ValueError("its classes or features are of something else")
    for estimator in forest.estimators_:
        tree = estimator.tree_
        index = np.arange(tree.node_count)
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        is_leaf = left == -1
        is_sound = (
            tree.node_count > 0
            and len(left) == tree.node_count
            and tree.n_features == len(NAMES)
            and tree.value.shape == (tree.node_count, 1, num_classes)
            and np.isfinite(tree.value).all()
            and (right[is_leaf] == -1).all()
            and (left > index)[~is_leaf].all()
            and (right > index)[~is_leaf].all()
            and (np.maximum(left, right) < tree.node_count).all()
            and ((feature >= 0) & (feature < len(NAMES)))[~is_leaf].all()
        )
        if not is_sound:
            raise ValueError("a tree points beyond itself")


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise _missing("skops") from error
    return skops.io


def _missing(package: str) -> InputError:
    return InputError(
        f"classifier: {package} is not installed; install the package's extra 'stage', or leave --fit and --classifier "
        "out: the rule needs neither"
    )
