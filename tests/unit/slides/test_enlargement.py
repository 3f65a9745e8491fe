from __future__ import annotations

import pytest

from scripts.errors import InputError
from scripts.slides.enlargement import check_enlargement, enlargement_notes


@pytest.mark.parametrize(
    ("mpp", "model_mpp", "times"),
    [
        (0.121, 0.243, None),
        (0.243, 0.243, None),
        (0.364, 0.243, None),
        (0.365, 0.243, "1.5"),
        (0.499, 0.243, "2.05"),
        (28.97, 0.243, "119"),
        (0.499, 0.972, None),
        (2.5, 0.972, "2.57"),
    ],
)
def test_coarse_slides_are_noted(mpp: float, model_mpp: float, times: str | None) -> None:
    found = enlargement_notes(mpp, model_mpp)
    if times is None:
        assert found == []
    else:
        assert found[0].startswith(f"enlarged {times} times, from {mpp:g} to the model's {model_mpp:g} µm per pixel")


@pytest.mark.parametrize("model_mpp", [0.243, 0.972])
@pytest.mark.parametrize("limit", [1, 3, 3.5])
def test_slides_beyond_the_limit_are_refused(model_mpp: float, limit: float) -> None:
    check_enlargement("a.tif", model_mpp * limit * 0.999, model_mpp, limit)
    with pytest.raises(InputError, match=r"a\.tif: expected at most .* force it with --max_enlargement"):
        check_enlargement("a.tif", model_mpp * limit * 1.001, model_mpp, limit)


def test_the_way_out_is_enough() -> None:
    with pytest.raises(InputError, match=r"found 28\.97; .* --max_enlargement 120$"):
        check_enlargement("a.dcm", 28.97, 0.243, 3)
    check_enlargement("a.dcm", 28.97, 0.243, 120)
