"""A slide one of whose tiles lies about its size: cuCIM, if it is let at it, writes beyond its memory."""

from __future__ import annotations

from pathlib import Path

import tifffile


def change_frame(path: Path, tile: int, height: int | None = None, width: int | None = None) -> int:
    """Write another size into the JPEG frame header of a tile of level 0.

    Returns:
        Where the tile begins in the file.
    """
    with tifffile.TiffFile(path) as tiff:
        start, size = tiff.pages[0].dataoffsets[tile], tiff.pages[0].databytecounts[tile]
    content = bytearray(path.read_bytes())
    frame = content.index(b"\xff\xc0\x00\x11\x08", start, start + size)
    for position, value in ((frame + 5, height), (frame + 7, width)):
        if value is not None:
            content[position : position + 2] = value.to_bytes(2, "big")
    path.write_bytes(content)
    return int(start)
