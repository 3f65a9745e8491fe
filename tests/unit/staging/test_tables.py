"""Tables in the challenge's form, in ours, without header; what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import InputError
from scripts.staging.tables import read_labels, read_patients, write_submission


def _write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "patient,stage\np_1.zip,pN1mi\nP_1_node_0.tif,Micro\np_1_node_1.tif,itc\n",
        "P_1_node_0.tif,micro\n\np_1.zip,pn1MI\np_1_node_1.tif,ITC\n",
        "\ufeffscore,slide,class\n0.5,P_1_node_0.tif,micro\n0.1,p_1_node_1.tif,itc\n,p_1.zip,pN1mi\n",
    ],
    ids=["challenge", "no header", "columns"],
)
def test_read_labels_of_each_form(tmp_path: Path, text: str) -> None:
    table = read_labels(_write(tmp_path, text))
    assert table.classes == {"p_1_node_0": "micro", "p_1_node_1": "itc"}
    assert table.slides["p_1_node_0"] == "P_1_node_0.tif"
    assert table.stages == {"p_1": "pN1mi"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected rows slide,class, found none"),
        ("patient,stage\n", "no nodes found"),
        ("a.tif,negative\na.tif,itc\n", "line 2: a.tif comes twice"),
        ("a.tif,negative\nb.tif\n", "line 2: expected slide,class"),
        (
            "a.tif,positive\n",
            "line 1: expected a node's class of negative, itc, micro, macro, found 'a.tif', 'positive'",
        ),
        ("a.tif,itc\na.zip,pN9\n", "line 2: expected a patient's stage"),
        ("slide,class\n,itc\n", "line 2: expected a node's class"),
        ("slide,class,Class\na,itc,macro\n", "line 1: the column class is there twice; keep one"),
    ],
)
def test_read_labels_refuses(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_labels(_write(tmp_path, text))
    assert message in str(caught.value)


def test_read_patients(tmp_path: Path) -> None:
    expected = {"a": "Ann", "b": "Ann", "c": "Bob"}
    assert read_patients(_write(tmp_path, "slide,patient\na.tif,Ann\nB.svs,Ann\nc,Bob\n")) == expected
    assert read_patients(_write(tmp_path, "a.tif,Ann\nB.svs,Ann\nc,Bob\n")) == expected
    assert read_patients(_write(tmp_path, "patient,more,slide\nAnn,1,a\nAnn,2,b\nBob,3,c\n")) == expected
    for text, message in (
        ("a\n", "line 1: expected slide,patient"),
        ("a,Ann\nA.tif,Bob\n", "belongs to two patients"),
        ("patient,slide,patient\nx,a,y\n", "the column patient is there twice"),
    ):
        with pytest.raises(InputError, match=message):
            read_patients(_write(tmp_path, text))
    with pytest.raises(InputError, match="no such file"):
        read_patients(tmp_path / "none.csv")


def test_a_submission_is_read_back(tmp_path: Path) -> None:
    nodes = [
        ("p_2", "p_2_node_0.tif", "macro"),
        ("p_1", "p_1_node_1.tif", "itc"),
        ("p_1", "p_1_node_0.tif", "negative"),
    ]
    path = tmp_path / "submission.csv"
    write_submission(path, nodes, {"p_2": "pN1", "p_1": "pN0(i+)"})
    assert path.read_text(encoding="utf-8").splitlines() == [
        *("patient,stage", "p_1.zip,pN0(i+)", "p_1_node_0.tif,negative", "p_1_node_1.tif,itc"),
        *("p_2.zip,pN1", "p_2_node_0.tif,macro"),
    ]
    assert read_labels(path).stages == {"p_1": "pN0(i+)", "p_2": "pN1"}
