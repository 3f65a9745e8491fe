from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.challenge.layout import Layout
from scripts.challenge.mapping import Foreground, Infer
from scripts.errors import FilesFailedError, InputError
from unit.challenge.conftest import NAMES


def test_foreground_goes_on_after_the_slides_that_are_done(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def write(slides: list[Path], output: Path, *arguments: object) -> None:
        asked.append([path.stem for path in slides])

    monkeypatch.setattr("scripts.challenge.mapping.write_foregrounds", write)
    stage = Foreground(layout)
    stage.folder.mkdir()
    (stage.folder / "test_002_overlay.jpg").touch()
    stage.run(True)
    stage.run(False)
    assert asked == [["test_001", "test_003"], list(NAMES)]


def test_foreground_takes_only_settings_that_there_are(layout: Layout) -> None:
    assert Foreground(layout, foreground={"min_value": 0.2}).settings()["min_value"] == 0.2
    with pytest.raises(InputError, match=r"foreground: expected saturation, .*found 'min_brightness'"):
        Foreground(layout, foreground={"min_brightness": 0.2}).check()


@pytest.mark.parametrize("stage", [Foreground, Infer])
@pytest.mark.parametrize("failing", [1, 3])
def test_bad_slides_are_set_aside_unless_all_are(
    layout: Layout, stage: type[Foreground] | type[Infer], failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {str(layout.root / f"{name}.tif"): "its tile is damaged" for name in NAMES[:failing]}

    def fail(*arguments: object) -> None:
        try:
            raise FilesFailedError("some slides failed", reasons)
        except InputError as error:
            raise RuntimeError("Failed to evaluate $@probability_maps.finish()") from error

    def fail_plainly(*arguments: object) -> None:
        raise FilesFailedError("some slides failed", reasons)

    monkeypatch.setattr("scripts.challenge.mapping.run_bundle", fail)
    monkeypatch.setattr("scripts.challenge.mapping.write_foregrounds", fail_plainly)
    masks = layout.folder("foreground")
    masks.mkdir()
    for name in NAMES:
        (masks / f"{name}.png").touch()
    if failing == 3:
        with pytest.raises((InputError, RuntimeError)):
            stage(layout).run(False)
        return
    assert stage(layout).run(False).set_aside == {"test_001.tif": "its tile is damaged"}


def test_inference_takes_the_slides_that_have_a_mask(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("scripts.challenge.mapping.run_bundle", lambda run, config, ids, overlays: given.update(ids))
    masks = layout.folder("foreground")
    masks.mkdir()
    (masks / "test_002.png").touch()
    Infer(layout, 32, inference={"tta": True}).run(False)
    assert given["slides"] == [str(layout.root / "test_002.tif")]
    assert (given["stride"], given["tta"], given["foreground_dir"]) == (32, True, str(masks))
    assert given["weights"].endswith("model.pt")


@pytest.mark.parametrize(
    ("weights", "overlays", "message"),
    [
        ("shipped", ("screen_10x",), "trained at .* but this run takes"),
        ("damaged", (), "damaged.pt"),
        ("other", (), "weights of another network"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_computed(
    layout: Layout, tmp_path: Path, weights: str, overlays: tuple[str, ...], message: str
) -> None:
    if weights != "shipped":
        path = tmp_path / f"{weights}.pt"
        torch.save({"a": torch.zeros(3)}, path)
        if weights == "damaged":
            path.write_bytes(path.read_bytes()[:-30])
        layout.given_weights = str(path)
    with pytest.raises(InputError, match=message) as refused:
        Infer(layout, overlays=overlays).check()
    assert str(refused.value).startswith("weights ")


def test_weights_that_fit_pass(layout: Layout) -> None:
    Infer(layout, inference={"stride": 256, "mode": "dense"}).check()
