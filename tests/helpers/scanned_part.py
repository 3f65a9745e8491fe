"""A slide of which a part was scanned, as Leica's scanners write one: OpenSlide states its bounds."""

from __future__ import annotations

import numpy as np
import tifffile

SHAPE = (3000, 4100)
BOUNDS = (1000, 2016, 1000 + 1024, 2016 + 1280)
"""(top, left, bottom, right) in level-0 pixels."""

TISSUE = (200, 300, 800, 1100)
"""(top, left, bottom, right) of a stained rectangle, in pixels of the scanned part."""

NM = 250
NAMESPACE = "http://www.leica-microsystems.com/scn/2010/10/01"


def write_scanned_part(path):
    top, left, bottom, right = BOUNDS
    pixels = np.full((bottom - top, right - left, 3), 240, np.uint8)
    pixels[TISSUE[0] : TISSUE[2], TISSUE[1] : TISSUE[3]] = (170, 60, 150)
    levels = [pixels, np.ascontiguousarray(pixels[::4, ::4])]
    sizes = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{index}" ifd="{index}"/>'
        for index, level in enumerate(levels)
    )
    text = (
        f'<?xml version="1.0"?><scn xmlns="{NAMESPACE}">'
        f'<collection name="c" uuid="c" sizeX="{SHAPE[1] * NM}" sizeY="{SHAPE[0] * NM}"><barcode/>'
        '<image name="i" uuid="i"><creationDate>2026-01-01T00:00:00Z</creationDate><device model="d" version="1"/>'
        f'<pixels sizeX="{right - left}" sizeY="{bottom - top}">{sizes}</pixels>'
        f'<view sizeX="{(right - left) * NM}" sizeY="{(bottom - top) * NM}" offsetX="{left * NM}" '
        f'offsetY="{top * NM}" spacingZ="0"/><scanSettings><objectiveSettings><objective>40</objective>'
        "</objectiveSettings><illuminationSettings><numericalAperture>0.65</numericalAperture>"
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
        "</collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for index, level in enumerate(levels):
            options = {"tile": (256, 256), "photometric": "rgb", "compression": "jpeg", "metadata": None}
            options |= {"resolution": (1e7 / NM, 1e7 / NM), "resolutionunit": "CENTIMETER"}
            tiff.write(level, description=text if index == 0 else None, software=False, **options)
    return path
