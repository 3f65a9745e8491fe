"""Write probability maps as pictures with a physical size: pyramidal OME-TIFF and OME-Zarr."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import numpy.typing as npt

from ..files import atomic_folder, atomic_path, write_json
from ..maps.files import MapInfo

TILE = 256
"""Side of a tile or chunk in pixels."""


def mean_pyramid(prob_map: npt.NDArray[np.floating[Any]]) -> list[npt.NDArray[np.float32]]:
    """The map, and the means of 2 x 2 of its pixels, again and again until one tile holds the level.

    Args:
        prob_map: (rows, cols) floating.

    Returns:
        (rows, cols) float32 each; sides are halved and rounded up, the last pixel is the mean of those that are there.
    """
    levels = [prob_map.astype(np.float32)]
    while max(levels[-1].shape) > TILE:
        even = np.pad(levels[-1], [(0, side % 2) for side in levels[-1].shape], mode="edge")
        rows, cols = even.shape
        blocks = even.reshape(rows // 2, 2, cols // 2, 2)
        levels.append(blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32))
    return levels


def write_ome_tiff(path: str | Path, prob_map: npt.NDArray[np.floating[Any]], info: MapInfo) -> None:
    """Write a tiled pyramid in float32, lossless, with the size of its pixels in µm.

    The UUID, which tifffile else makes of the machine's address and the time, is made of the map.

    Args:
        path: the file to write.
        prob_map: (rows, cols) floating.
        info: its sidecar.
    """
    import tifffile

    pixel_um = info.stride * info.mpp
    first, *others = mean_pyramid(prob_map)
    content = f"{info.slide} {pixel_um} {first.shape} {hashlib.sha256(first.tobytes()).hexdigest()}"
    metadata = {
        "UUID": f"urn:uuid:{uuid5(NAMESPACE_URL, content)}",
        "axes": "YX",
        "Name": info.name,
        "PhysicalSizeX": pixel_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": pixel_um,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": "Probability of metastasis"},
    }
    options: dict[str, Any] = {"tile": (TILE, TILE), "compression": "zlib", "photometric": "minisblack"}
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, ome=True) as writer:
        for index, level in enumerate((first, *others)):
            per_cm = 1e4 / (pixel_um * 2**index)  # of levels that we halved ourselves
            options |= {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
            extra: dict[str, Any] = {"subifds": len(others), "metadata": metadata} if index == 0 else {"subfiletype": 1}
            writer.write(level, **options, **extra)


def write_ome_zarr(path: str | Path, prob_map: npt.NDArray[np.floating[Any]], info: MapInfo) -> None:
    """Write an OME-Zarr image (OME-NGFF 0.4, Zarr format 2): a group of levels in float32, with their transforms.

    An index stands for a pixel's center, as in OME-NGFF; in µm from the center of the slide's first level-0 pixel. So
    the first map pixel lies at (stride - 1) / 2 level-0 pixels.

    Args:
        path: the folder to write.
        prob_map: (rows, cols) floating.
        info: its sidecar.
    """
    import zarr
    from numcodecs import Zlib

    datasets = []
    with atomic_folder(path) as temporary:
        for index, level in enumerate(mean_pyramid(prob_map)):
            step = info.stride * 2**index
            transforms = [
                {"type": "scale", "scale": [step * info.mpp] * 2},
                {"type": "translation", "translation": [(step - 1) / 2 * info.mpp] * 2},
            ]
            datasets.append({"path": str(index), "coordinateTransformations": transforms})
            # zarr 3 writes its format 3 unless told, zarr 2 (the last for Python 3.10) knows format 2 only
            format_2: dict[str, Any] = {} if zarr.__version__.startswith("2.") else {"zarr_format": 2}
            array = zarr.create(
                shape=level.shape,
                chunks=(TILE, TILE),
                dtype="<f4",
                compressor=Zlib(6),
                fill_value=0,
                store=str(temporary / str(index)),
                dimension_separator="/",
                **format_2,
            )
            array[...] = level
        axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
        image = {"version": "0.4", "name": info.name, "axes": axes, "datasets": datasets, "type": "mean"}
        window = {"start": 0, "end": 1, "min": 0, "max": 1}
        channel = {"label": "Probability of metastasis", "color": "FF0000", "active": True, "window": window}
        write_json(temporary / ".zgroup", {"zarr_format": 2})
        write_json(temporary / ".zattrs", {"multiscales": [image], "omero": {"channels": [channel]}})
