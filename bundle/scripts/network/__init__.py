"""The network and what computes it: definition, weights, preprocessing, runtimes and modes.

Comes in: weights and a batch of pixels. Goes out: logits. Floor: the lowest of packages, with ``folders``, above the
modules ``errors``, ``files``, ``geometry``, ``ranks`` and ``workflow``.
"""
