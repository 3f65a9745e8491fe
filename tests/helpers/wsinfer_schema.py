"""What WSInfer's model zoo asks of a model's ``config.json``: the rules of its spec 1.0 as a JSON schema."""

from __future__ import annotations

WSINFER_SCHEMA = {
    "type": "object",
    "required": [
        *("spec_version", "architecture", "num_classes", "class_names"),
        *("patch_size_pixels", "spacing_um_px", "transform"),
    ],
    "properties": {
        "spec_version": {"const": "1.0"},
        "architecture": {"type": "string"},
        "num_classes": {"type": "integer", "minimum": 1},
        "class_names": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "patch_size_pixels": {"type": "integer", "minimum": 1},
        "spacing_um_px": {"type": "number", "minimum": 0},
        "transform": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"enum": ["Resize", "ToTensor", "Normalize"]},
                    "arguments": {"type": "object"},
                },
                "additionalProperties": False,
            },
        },
    },
}
