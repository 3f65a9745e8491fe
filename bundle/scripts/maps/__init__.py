"""Probability maps as files, the detections in them, and what both mean on the slide.

Comes in: maps that ``inference`` wrote, or CSV files of detections. Goes out: `detections.Detections`, in level-0
pixels, for ``scoring``, ``report`` and ``exports``. Floor: beside ``masks``, above ``annotations`` and ``slides``.
"""
