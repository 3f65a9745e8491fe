"""From slides to probability maps: what ``inference.json`` wires.

Comes in: slides with a foreground mask of ``masks``, and the network of ``network``. Goes out: a map and its sidecar
for each slide, and ``run.json``. Floor: beside ``scoring``, above ``maps`` and ``masks``. `tiles` reads, `inferers`
chooses how to compute, `handlers` writes.
"""
