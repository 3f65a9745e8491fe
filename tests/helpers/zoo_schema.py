"""The model zoo's schema 20240725 for metadata.json, as far as it asks for something."""

from __future__ import annotations

# What schema 20240725 asks for; the file itself is fetched from the network by `verify_metadata`.
REQUIRED = (
    *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
    *("task", "description", "authors", "copyright", "network_data_format"),
)
REQUIRED_OF_TENSORS = ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range")
STRING, TEXTS = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}
TENSOR = {
    "type": "object",
    "required": REQUIRED_OF_TENSORS,
    "properties": {
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": TEXTS,
        **dict.fromkeys(("type", "format", "dtype", "modality"), STRING),
    },
}
TENSORS = {"type": "object", "additionalProperties": TENSOR, "minProperties": 1}
SCHEMA = {
    "type": "object",
    "required": REQUIRED,
    "properties": {
        **{key: STRING for key in REQUIRED if not key.endswith(("packages_version", "data_format"))},
        "changelog": TEXTS,
        "required_packages_version": TEXTS,
        "references": {"type": "array", "items": STRING},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": dict.fromkeys(("inputs", "outputs", "post_processed_outputs"), TENSORS),
            "additionalProperties": False,
        },
    },
}
