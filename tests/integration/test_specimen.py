"""The shipped weights find the metastasis in the strip of real tissue that comes with the bundle."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from scripts.maps.files import read_map
from scripts.synthetic.specimen import Finding, find_metastasis, strip_path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Finding:
    return find_metastasis(strip_path(), tmp_path_factory.mktemp("strip"))


@pytest.mark.integration
def test_the_metastasis_is_found_where_it_is_seen(found: Finding) -> None:
    # Measured: from 0 to 295 µm; to the eye it ends at 290 µm.
    assert found.begin_um == 0
    assert 250 < found.end_um < 350
    assert found.inside.highest > 0.99
    assert found.inside.num_above > 0.8 * found.inside.num_positions
    assert found.outside.num_above < 0.05 * found.outside.num_positions


@pytest.mark.integration
@pytest.mark.parametrize("page", ["README.md", "docs/README.md"])
def test_the_pages_state_the_positions_that_there_are(found: Finding, page: str) -> None:
    """How many are above 0.5 varies a little with the processor, how many there are does not."""
    text = " ".join((Path(__file__).parents[2] / page).read_text(encoding="utf-8").split())
    stated = re.findall(r"(\d+) of (\d+) positions", text)[:2]
    assert [int(total) for _, total in stated] == [found.inside.num_positions, found.outside.num_positions]
    for (above, _), part in zip(stated, (found.inside, found.outside), strict=True):
        assert abs(int(above) - part.num_above) <= 3


@pytest.mark.integration
def test_the_map_is_high_at_the_upper_end_and_low_at_the_lower_one(found: Finding) -> None:
    prob_map = read_map(found.info)
    assert prob_map.shape == (71, 8)
    metastasis, lymphoid, fat = (
        part[part > 0] for part in (prob_map[:16], prob_map[20:58], prob_map[62:])
    )  # up to 249 µm, 311 to 902 µm, from 964 µm on
    assert np.median(metastasis) > 0.9  # measured: 0.991
    assert np.median(lymphoid) < 0.1  # 0.019
    assert np.quantile(lymphoid, 0.95) < 0.5  # 0.195
    assert fat.mean() < 0.25  # 0.101
    assert len(metastasis) > 100 < len(lymphoid)
