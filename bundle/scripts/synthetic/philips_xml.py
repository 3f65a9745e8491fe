"""The XML in a Philips TIFF; see `philips` for what readers need of it."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr


def describe_levels(mpp: float, num_levels: int) -> str:
    """The XML of the first page, which states the resolution of levels that are halved again and again.

    Args:
        mpp: µm per level-0 pixel.
        num_levels: how many levels.
    """
    levels = "".join(
        _object(
            "PixelDataRepresentation",
            _spacing(mpp * 2**number)
            + _attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", "0x1001", "0x8B02", "IUInt16", str(number)),
        )
        for number in range(num_levels)
    )
    image = _object(
        "DPScannedImage",
        _spacing(mpp)
        + _attribute("PIM_DP_IMAGE_TYPE", "0x301D", "0x1004", "IString", "WSI")
        + _array("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", "0x1001", "0x8B01", levels),
    )
    inside = _attribute("DICOM_MANUFACTURER", "0x0008", "0x0070", "IString", "synthetic") + _array(
        "PIM_DP_SCANNED_IMAGES", "0x301D", "0x1003", image
    )
    return '<?xml version="1.0" encoding="UTF-8" ?>\n' + _object("DPUfsImport", inside)


def _spacing(mpp: float) -> str:
    value = f'"{mpp / 1000:.9g}"'
    return _attribute("DICOM_PIXEL_SPACING", "0x0028", "0x0030", "IDoubleArray", f"{value} {value}")


def _attribute(name: str, group: str, element: str, kind: str, value: str) -> str:
    text = escape(value, {'"': "&quot;"})
    return f'<Attribute Name={quoteattr(name)} Group="{group}" Element="{element}" PMSVR="{kind}">{text}</Attribute>'


def _array(name: str, group: str, element: str, objects: str) -> str:
    kind = "IDataObjectArray"
    opening = f'<Attribute Name={quoteattr(name)} Group="{group}" Element="{element}" PMSVR="{kind}">'
    return f"{opening}<Array>{objects}</Array></Attribute>"


def _object(kind: str, inside: str) -> str:
    return f'<DataObject ObjectType="{kind}">{inside}</DataObject>'
