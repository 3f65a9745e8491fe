"""What the tile of a TIFF says of itself where it is compressed as JPEG.

A decoder that trusts the TIFF alone writes beyond its memory where a tile holds another number of pixels.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_START_OF_IMAGE = b"\xff\xd8"
_FRAMES = (0xC0, 0xC1, 0xC2)
_OTHER_FRAMES = frozenset(range(0xC0, 0xD0)) - {*_FRAMES, 0xC4, 0xC8, 0xCC}
_ENDS = (0xD8, 0xD9, 0xDA)
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))


class Frame(NamedTuple):
    """A frame header (ITU-T T.81, B.2.2).

    Attributes:
        shape: (height, width) in pixels.
        num_components: 3 for a picture in color.
        precision: bits of a sample.
    """

    shape: tuple[int, int]
    num_components: int
    precision: int


def read_frame(stream: bytes) -> Frame | None:
    """Find the frame header of a JPEG stream.

    Args:
        stream: the stream, or its beginning.

    Returns:
        The frame header, or None if the stream ends before it.

    Raises:
        OSError: if this is no JPEG stream, if it has no frame header before its scan, or one of another kind than
            baseline, extended and progressive with Huffman codes.
    """
    if not stream.startswith(_START_OF_IMAGE[: len(stream)]):
        raise OSError("its JPEG stream does not begin as one")
    position = len(_START_OF_IMAGE)
    while (position := stream.find(b"\xff", position)) >= 0:  # decoders pass over what is no marker
        position += 1
        marker = stream[position] if position < len(stream) else 0xFF
        if marker in (0x00, 0xFF):
            continue
        position += 1
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in _ENDS:
            raise OSError("its JPEG stream has no frame header before its scan")
        if marker in _OTHER_FRAMES:
            raise OSError(f"its JPEG stream is of a kind (marker {marker:#x}) that is not decoded")
        if marker in _FRAMES:
            if len(stream) < position + 8:
                return None
            precision, height, width, num_components = struct.unpack_from(">2xBHHB", stream, position)
            return Frame((height, width), num_components, precision)
        if len(stream) < position + 2:
            return None
        position += max(2, int.from_bytes(stream[position : position + 2], "big"))
    return None
