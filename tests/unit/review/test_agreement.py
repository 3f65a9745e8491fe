"""Two reviewers: Cohen's kappa, judged by scikit-learn, and where they differ."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from helpers.verdict_marks import found_marks
from scripts.annotations.verdict_files import VerdictFile
from scripts.annotations.verdicts import VERDICTS
from scripts.cli.main import main
from scripts.errors import InputError
from scripts.review.agreement import cohens_kappa, compare_reviewers


@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS)), min_size=1, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs):
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of what is not defined
        expected = cohen_kappa_score(first, second)
    assert cohens_kappa(first, second) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def _review(folder: Path, name: str, change: Callable[[VerdictFile], object]) -> None:
    folder.mkdir(exist_ok=True)
    file = VerdictFile(folder / f"{name}.geojson", folder.name)
    file.begin(found_marks())
    change(file)


def _judge(*verdicts: str | None, comment: str = "") -> Callable[[VerdictFile], None]:
    def change(file: VerdictFile) -> None:
        for identity, verdict in zip(("d1", "d2", "d3"), verdicts, strict=True):
            file.judge(identity, verdict, comment)

    return change


def test_compare_lists_where_they_differ(tmp_path):
    far = {"type": "Polygon", "coordinates": [[[900, 10], [980, 10], [980, 90]]]}
    near = {"type": "Polygon", "coordinates": [[[350, 10], [480, 10], [480, 90]]]}  # touches the lesion's outline

    def drawing(file: VerdictFile) -> None:
        _judge("not_tumor", "tumor", None)(file)
        file.add(far, comment="missed")
        file.add(near)

    _review(tmp_path / "A", "one", _judge("tumor", "tumor", "unsure", comment="sure"))
    _review(tmp_path / "B", "one", drawing)
    _review(tmp_path / "A", "two", _judge("tumor", "not_tumor", "not_tumor"))
    _review(tmp_path / "B", "TWO", _judge("tumor", "not_tumor", "not_tumor"))
    _review(tmp_path / "A", "alone", _judge("tumor", "not_tumor", "not_tumor"))
    found = compare_reviewers(tmp_path / "A", tmp_path / "B")
    expected = cohen_kappa_score(
        ["tumor", "tumor", "tumor", "not_tumor", "not_tumor"], ["not_tumor", "tumor", "tumor", "not_tumor", "not_tumor"]
    )
    assert found[:3] == (2, 5, 4)
    assert found.kappa == pytest.approx(expected)
    assert str(found).splitlines() == [
        f"2 slides, 5 detections judged by both: 4 alike, Cohen's kappa {expected:.3f}; 1 judged by one alone; "
        "2 differences",
        "one, Detection 1 at 150, 40: tumor and not_tumor; sure",
        "one, Drawn 1 at 940, 50: nothing and tumor; missed",
    ]


def test_a_kappa_that_is_not_defined_is_told(tmp_path):
    for folder in ("A", "B"):
        _review(tmp_path / folder, "one", _judge("tumor", "tumor", "tumor"))
    found = compare_reviewers(tmp_path / "A", tmp_path / "B")
    assert math.isnan(found.kappa)
    assert "Cohen's kappa not defined, for all verdicts are alike" in str(found)


def test_what_cannot_be_compared_is_told(tmp_path):
    _review(tmp_path / "A", "one", _judge("tumor", "tumor", "tumor"))
    _review(tmp_path / "B", "two", _judge("tumor", "tumor", "tumor"))
    _review(tmp_path / "C", "one", _judge(None, None, None))
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"expected verdicts on slides of .*none \(none\), found one"):
        compare_reviewers(tmp_path / "none", tmp_path / "A")
    with pytest.raises(InputError, match=r"expected verdicts on slides of .*A \(one\), found two; give two reviews of"):
        compare_reviewers(tmp_path / "A", tmp_path / "B")
    with pytest.raises(InputError, match=r"expected detections that were judged in .*A, too, found none in 1 slide"):
        compare_reviewers(tmp_path / "A", tmp_path / "C")
    with pytest.raises(InputError, match="no such folder"):
        compare_reviewers(tmp_path / "A", tmp_path / "D")


def test_the_command_prints_it(tmp_path, capsys):
    for folder in ("A", "B"):
        _review(tmp_path / folder, "one", _judge("tumor", "not_tumor", "tumor" if folder == "A" else "unsure"))
    folders = [str(tmp_path / "A"), str(tmp_path / "B")]
    main(["review", "--compare", *folders])
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("1 slide, 3 detections judged by both: 2 alike, Cohen's kappa 0.5")
    assert others == ["one, Detection 3 at 700, 90: tumor and unsure"]
    for flags in (["--compare", folders[0]], ["--compare", *folders, "--maps", "m"]):
        with pytest.raises(SystemExit, match="error: --compare takes two folders of verdicts"):
            main(["review", *flags])
    with pytest.raises(SystemExit, match="error: review needs --maps, --slides and --output, or --compare A B"):
        main(["review", "--maps", "m"])
