"""One HTML page for people to look at: slides, heatmaps, detections at full resolution, curves.

Comes in: maps of ``maps``, slides, and the scores of ``scoring`` where there is truth. Goes out: ``report.html``.
Floor: beside ``exports``, ``labels`` and ``cluster``, above ``scoring`` and ``inference``.
"""
