"""Slides, maps and detections in the browser, for people who judge what was found and draw what was missed.

Comes in: maps of ``maps``, slides, and truth where there is any. Goes out: pages and tiles to a browser on this
machine, and verdicts as files of ``annotations``. Floor: beside ``exports``, ``report``, ``labels`` and ``cluster``,
above ``scoring`` and ``inference``.
"""
