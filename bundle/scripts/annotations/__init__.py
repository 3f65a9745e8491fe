"""Outlines of tumor and tissue, and patch centers, as people and other programs draw and write them.

Comes in: NCRF JSON, ASAP XML, QuPath GeoJSON and files of coordinates, all in (x, y). Goes out: polygons and points in
level-0 (row, col) for ``masks`` and ``labels``; writers go the other way. Floor: above ``network``.
"""
