"""Masks of slides: where there is tissue (foreground), and where there is tumor (ground truth).

Comes in: slides of ``slides`` and outlines of ``annotations``. Goes out: mask files and arrays for ``inference``,
``labels`` and ``scoring``. Floor: beside ``maps``, above ``annotations`` and ``slides``.
"""
