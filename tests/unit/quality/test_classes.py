"""Names, numbers and shares of artifacts."""

import numpy as np
import pytest

from scripts.errors import InputError
from scripts.quality.classes import COLORS, FOUND, ORDER, Artifact, is_any, parse_classes, shares


def test_every_class_has_a_color_and_a_place_in_the_order() -> None:
    assert len(COLORS) == len(Artifact) == len(set(COLORS))
    assert sorted(ORDER) == list(FOUND) == [artifact for artifact in Artifact if artifact]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", ()),
        ("pen", (Artifact.PEN,)),
        ("blur, PEN,pen", (Artifact.PEN, Artifact.BLUR)),
        (["dark_edge", "black"], (Artifact.DARK_EDGE, Artifact.BLACK)),
    ],
)
def test_classes_by_name(names, expected) -> None:  # type: ignore[no-untyped-def]
    assert parse_classes(names) == expected


@pytest.mark.parametrize("names", ["ink", "pen;blur", ["none"]])
def test_unknown_class_is_refused(names) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="expected some of pen, blur, dark_edge, coverslip_edge, black"):
        parse_classes(names)


def test_shares_by_hand() -> None:
    classes = np.array([[1, 1, 0, 2], [0, 0, 0, 5]], dtype=np.uint8)
    tissue = np.array([[1, 0, 1, 1], [1, 0, 0, 0]], dtype=bool)
    found = shares(classes, tissue)
    assert found["pen"] == {"slide": 0.25, "tissue": 0.25}
    assert found["blur"] == {"slide": 0.125, "tissue": 0.25}
    assert found["black"] == {"slide": 0.125, "tissue": 0.0}
    assert shares(classes, np.zeros_like(tissue))["pen"] == {"slide": 0.25, "tissue": 0.0}
    np.testing.assert_array_equal(is_any(classes, [Artifact.PEN, Artifact.BLACK]), classes % 4 == 1)
    assert not is_any(classes, []).any()
