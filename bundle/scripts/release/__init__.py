"""The bundle as the model zoo wants it: checked, then put together as a folder and a zip.

Comes in: a checkout of the repository. Goes out: ``pathology_tumor_detection/`` and its zip. Floor: above ``network``.
"""
