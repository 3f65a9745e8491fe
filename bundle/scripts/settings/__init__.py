"""The ids of configs: which there are, and what kind of value each takes.

Comes in: the content of configs, and what is given for their ids. Goes out: an error that names the wrong ones. Floor:
the ground, beside ``workflow``, which asks it before MONAI reads a config.
"""
