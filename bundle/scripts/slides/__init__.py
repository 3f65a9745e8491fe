"""Whole-slide images: open them, read their pixels at any scale, write pyramids.

Comes in: a slide file. Goes out: `slide.Slide` with levels, downsamples and mpp, and arrays of (rows, cols, 3) uint8.
Floor: above ``network``; masks, maps, labels and training read through it. `openslide_backend` and `cucim_backend`
fetch the pixels.
"""
