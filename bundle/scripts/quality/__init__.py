"""Artifacts of slides: pen, blur, dark edges, coverslip edges and black background, without learned weights.

Comes in: overviews of slides, and slides of ``slides`` where sharpness is measured. Goes out: a class for each pixel
of an overview, for ``masks``, ``inference``, ``exports`` and ``report``. Floor: below ``maps`` and ``masks``, above
``annotations`` and ``slides``.
"""
