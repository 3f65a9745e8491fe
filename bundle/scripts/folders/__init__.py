"""Folders of slides and of files named like slides: search them, name what is found, find it again by name.

Comes in: paths that a user gave. Goes out: one path for each slide. Floor: with ``network``, above the modules
``errors``, ``files``, ``geometry``, ``ranks`` and ``workflow``.
"""
