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
_JFIF, _ADOBE = 0xE0, 0xEE
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


def stated_colors(stream: bytes) -> str | None:
    """What the encoder of a JPEG stream of three components says that they are.

    Args:
        stream: the stream, or its beginning.

    Returns:
        ``RGB`` or ``YCbCr`` by the marker of Adobe (its Technical Note 5116) or of JFIF (ITU-T T.871), or by
        components named R, G and B, as libjpeg writes them; None where they say nothing, or not the same.
    """
    found: set[str] = set()
    position = len(_START_OF_IMAGE)
    while stream[position : position + 1] == b"\xff" and len(stream) >= position + 4:
        marker, length = stream[position + 1], int.from_bytes(stream[position + 2 : position + 4], "big")
        segment = stream[position + 4 : position + 2 + length]
        if marker == _JFIF and segment.startswith(b"JFIF\0"):
            found.add("YCbCr")
        if marker == _ADOBE and segment.startswith(b"Adobe") and len(segment) >= 12:
            found.add({0: "RGB", 1: "YCbCr"}.get(segment[11], "other"))
        if marker in _FRAMES:
            found |= {"RGB"} if segment[6::3] == b"RGB" else set()
            break
        position += 2 + length
    return found.pop() if len(found) == 1 and found <= {"RGB", "YCbCr"} else None


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
