"""Scores by CAMELYON16's rules: FROC, slides, patches, intervals, comparisons, and their plots.

Comes in: detections of ``maps`` and truth of ``masks``; for patches the logits of the network. Goes out: ``froc.json``
and ``patches.json`` with tables and curves. Floor: beside ``inference``, above ``maps`` and ``masks``. `evaluation`
scores a folder; `froc`, `roc`, `lesions` and `bootstrap` are pure.
"""
