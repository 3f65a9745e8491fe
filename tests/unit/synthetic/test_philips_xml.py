from __future__ import annotations

from defusedxml.ElementTree import fromstring

from scripts.synthetic.philips_xml import describe_levels


def test_each_level_states_its_spacing_in_mm() -> None:
    root = fromstring(describe_levels(0.25, 3).encode())
    assert (root.tag, root.get("ObjectType")) == ("DataObject", "DPUfsImport")
    assert describe_levels(0.25, 3).endswith("</DataObject>")
    (image,) = root.findall("./Attribute[@Name='PIM_DP_SCANNED_IMAGES']/Array/DataObject")
    assert image.findtext("./Attribute[@Name='PIM_DP_IMAGE_TYPE']") == "WSI"
    assert image.findtext("./Attribute[@Name='DICOM_PIXEL_SPACING']") == '"0.00025" "0.00025"'
    levels = image.findall("./Attribute[@Name='PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE']/Array/DataObject")
    assert [level.findtext("./Attribute[@Name='DICOM_PIXEL_SPACING']") for level in levels] == [
        '"0.00025" "0.00025"',
        '"0.0005" "0.0005"',
        '"0.001" "0.001"',
    ]
