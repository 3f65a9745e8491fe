"""Detections of a few points."""

from __future__ import annotations

import numpy as np

from scripts.maps.detections import Detections


def detections_of(*points):
    prob, row, col = zip(*points, strict=True) if points else ((), (), ())
    return Detections(np.array(prob, dtype=np.float32), np.array(row, dtype=np.int64), np.array(col, dtype=np.int64))
