"""Inference on many machines by Ray.

Comes in: slides and a config. Goes out: the same maps as those of ``inference``, and ``run.json``. Floor: beside
``exports``, ``report`` and ``labels``, above ``inference``, whose work each machine does.
"""
