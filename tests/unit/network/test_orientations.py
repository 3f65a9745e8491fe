from __future__ import annotations

import pytest
import torch
from torch.nn.functional import affine_grid, grid_sample

from scripts.errors import InputError
from scripts.network.orientations import (
    NUM_ORIENTATIONS,
    _write_each,
    _write_kinds,
    center_crop,
    orient,
    orientation_maps,
)

KINDS = torch.arange(NUM_ORIENTATIONS)


@pytest.fixture
def patches() -> torch.Tensor:
    return torch.randint(256, (NUM_ORIENTATIONS, 3, 13, 13), dtype=torch.uint8)


def test_maps_tell_where_a_pixel_comes_from(patches: torch.Tensor) -> None:
    maps = orientation_maps(KINDS)
    for kind, oriented in enumerate(orient(patches, KINDS)):
        for row, col in ((0, 0), (2, 9), (12, 5)):
            x, y = (maps[kind] @ torch.tensor([col - 6.0, row - 6.0]) + 6).int().tolist()
            assert oriented[:, row, col].equal(patches[kind, :, y, x])


def test_sampling_by_a_map_is_orienting(patches: torch.Tensor) -> None:
    theta = torch.cat([orientation_maps(KINDS), torch.zeros(NUM_ORIENTATIONS, 2, 1)], dim=2)
    found = grid_sample(patches.float(), affine_grid(theta, [8, 3, 13, 13], align_corners=False), align_corners=False)
    torch.testing.assert_close(found, orient(patches, KINDS).float(), rtol=0, atol=1e-3)


def test_the_central_part_is_written_where_it_is_wanted(patches: torch.Tensor) -> None:
    output = torch.full((NUM_ORIENTATIONS, 3, 5, 8), -1.0)
    assert orient(patches, KINDS, output) is output
    assert output.equal(center_crop(orient(patches, KINDS), (5, 8)).float())


def test_a_gpu_writes_what_a_cpu_writes(patches: torch.Tensor) -> None:
    kinds = torch.tensor([3, 0, 7, 3, 5, 1, 1, 6])
    found = [torch.zeros(8, 3, 9, 6) for _ in range(2)]
    _write_each(patches, kinds, found[0])
    _write_kinds(patches, kinds, found[1])
    assert found[0].equal(found[1])


def test_a_part_larger_than_the_patch_is_refused(patches: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"patches must be at least patch_size, \(14, 3\)"):
        orient(patches, KINDS, torch.empty(NUM_ORIENTATIONS, 3, 14, 3))
