"""Synthetic slides, and the demo that runs every step on them after a look at one strip of real tissue.

Comes in: a seed and sizes. Goes out: slides, annotations and patch centers as files, as CAMELYON16 has them. Floor:
below ``cli``, beside ``training``. `cohort` writes the files, `philips` and `aperio` write one slide in the form of
these scanners, `demo` runs the steps, `specimen` shows the real strip. Nothing else here is tissue.
"""
