from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from scripts.slides.jpeg_headers import Frame, read_frame, stated_colors


def encode(mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((37, 53, 3), dtype=np.uint8)).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"x" * 3000}, {"subsampling": 0}])
def test_frames_of_a_foreign_encoder(options: dict[str, object]) -> None:
    assert read_frame(encode(**options)) == Frame((37, 53), 3, 8)
    assert read_frame(encode("L", **options)) == Frame((37, 53), 1, 8)
    assert read_frame(encode("CMYK", **options)) == Frame((37, 53), 4, 8)


def test_a_stream_that_ends_before_its_frame() -> None:
    stream = encode(comment=b"\xff\xc0" * 700)  # what looks like a marker inside a segment is none
    start = stream.index(b"\xff\xc0\x00\x11\x08")
    for length in (0, 1, 2, 3, 500, start, start + 1, start + 2, start + 9):
        assert read_frame(stream[:length]) is None
    assert read_frame(stream[: start + 10]) == Frame((37, 53), 3, 8)


def test_what_decoders_pass_over() -> None:
    stream = encode()
    rest = stream[2:]
    for between in (b"\xff" * 5, b"\x00\x12", b"\xff\x00", b"\xff\xd3", b"\xff\x01"):
        assert read_frame(stream[:2] + between + rest) == Frame((37, 53), 3, 8)


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"II*\x00", "does not begin as one"),
        (b"\xff\xd8\xff\xd9", "no frame header before its scan"),
        (b"\xff\xd8\xff\xda", "no frame header before its scan"),
        (b"\xff\xd8\xff\xd8", "no frame header before its scan"),
        (b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB", 17, 8, 37, 53, 3), "of a kind .marker 0xc3. that is not decoded"),
    ],
)
def test_streams_that_are_refused(stream: bytes, reason: str) -> None:
    with pytest.raises(OSError, match=reason):
        read_frame(stream)


def test_the_colors_that_encoders_state() -> None:
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    of_rgb = imagecodecs.jpeg8_encode(pixels, colorspace="RGB", outcolorspace="RGB")
    assert stated_colors(of_rgb) == "RGB"
    assert stated_colors(of_rgb.replace(b"Adobe", b"adobe")) == "RGB", "by the names of its components"
    assert stated_colors(encode()) == "YCbCr"
    assert stated_colors(encode().replace(b"JFIF", b"jfif")) is None
    assert stated_colors(encode(keep_rgb=True)) == "RGB"


def test_streams_that_state_no_colors() -> None:
    stream = encode()
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
    assert stated_colors(stream[:2] + adobe + b"\x00" + stream[2:]) is None, "two markers that contradict each other"
    assert stated_colors(stream[:2] + adobe + b"\x02" + stream[stream.index(b"\xff\xdb") :]) is None, "YCCK"
    for length in (0, 1, 2, 3, 5, 9):
        assert stated_colors(stream[:length]) is None
