"""What must agree before a release does, here; and each disagreement, made on purpose, is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.errors import InputError
from scripts.release import consistency
from scripts.release.consistency import Checkout, find_problems, pins, read_checkout
from scripts.release.release import bundle_files

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def checkout() -> Checkout:
    return read_checkout(ROOT)


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    return bundle_files(ROOT)


def test_nothing_disagrees(checkout: Checkout, files: dict[str, Path]) -> None:
    assert find_problems(checkout, files) == []


def _metadata(**values: Any) -> Callable[[Checkout], Checkout]:
    return lambda checkout: checkout._replace(metadata={**checkout.metadata, **values})


def _without(key: str) -> Callable[[Checkout], Checkout]:
    return lambda checkout: checkout._replace(
        metadata={name: value for name, value in checkout.metadata.items() if name != key}
    )


def _inside(change: Callable[[dict[str, Any]], Any]) -> Callable[[Checkout], Checkout]:
    def make(checkout: Checkout) -> Checkout:
        metadata = copy.deepcopy(checkout.metadata)
        change(metadata)
        return checkout._replace(metadata=metadata)

    return make


def _text(field: str, old: str, new: str) -> Callable[[Checkout], Checkout]:
    def make(checkout: Checkout) -> Checkout:
        text = getattr(checkout, field)
        assert old in text
        return checkout._replace(**{field: text.replace(old, new)})

    return make


CHANGES = {
    "another version": (_metadata(version="9.9.9"), "version: 1.0.0 in pyproject.toml, 9.9.9 in metadata.json"),
    "no changelog entry": (_metadata(changelog={}), "metadata.json has no entry for its version"),
    "another changelog": (_text("changelog", "## [", "## [9.9.9]\n\n## ["), "on top of CHANGELOG"),
    "an old version": (_metadata(version="0.6.2"), "0.6.2 is not above 0.6.2"),
    "no version": (_metadata(version="new"), "new is not above 0.6.2"),
    "another monai": (_metadata(monai_version="1.5.0"), "pins: monai is 1.5.0 in metadata.json"),
    "numpy of a later Python": (_metadata(numpy_version="2.4.6"), "pins: numpy is 2.4.6 in metadata.json, 2.2.6"),
    "a package less": (
        _inside(lambda metadata: metadata["required_packages_version"].pop("scipy")),
        "pins: scipy is missing in metadata.json",
    ),
    "a package more": (
        _inside(lambda metadata: metadata["required_packages_version"].update(pandas="2.3.3")),
        "pins: pandas is 2.3.3 in metadata.json, not needed",
    ),
    "an unpinned package": (_text("constraints", "fire==", "fires=="), "does not pin fire for Python 3.10"),
    "a pin below its range": (
        _text("constraints", "monai==1.6.1", "monai==1.5.0"),
        "monai 1.5.0 is outside",
    ),
    "the old name": (_metadata(optional_packages_version={}), "is the old name of required_packages_version"),
    "a version in the name": (_metadata(name="Pathology tumor detection v2"), "must be the bundle's"),
    "no image": (
        _inside(lambda metadata: metadata["network_data_format"]["inputs"].pop("image")),
        "network_data_format has no inputs image",
    ),
    "a tensor without a range": (
        _inside(lambda metadata: metadata["network_data_format"]["outputs"]["pred"].pop("value_range")),
        "outputs pred lacks value_range",
    ),
    "another input": (
        _inside(lambda metadata: metadata["network_data_format"]["inputs"]["image"].update(spatial_shape=[256, 256])),
        "card: does not state '`image`: (N, 3, 256, 256) float32'",
    ),
    "a card without a heading": (_text("card", "## Performance", "## Results"), "card: expected the headings"),
    "a card of other configs": (_text("card", "configs/train.json", "configs/tune.json"), "names configs/tune.json"),
    "a card without some weights": (_text("card", "models/model_10x.pt", "that"), "does not name models/model_10x.pt"),
    **{f"no {key}": (_without(key), f"{key!r} is missing") for key in consistency._REQUIRED},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_disagreement_is_found(checkout: Checkout, files: dict[str, Path], name: str) -> None:
    change, message = CHANGES[name]
    assert any(message in problem for problem in find_problems(change(checkout), files))


@pytest.mark.parametrize(
    ("text", "message"), [("fire>=0.7", "expected one exact version"), ("fire==0.7\nFire==0.8", "pinned twice")]
)
def test_constraints_that_do_not_pin_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pins(text, "3.10")
