"""The command ``tumor-detection``: arguments in, one call of a lower package, one line of result or of error out.

Comes in: words of the command line. Goes out: calls of the steps. Floor: the top one; nothing imports it. `main` finds
the command, `data`, `network` and `scores` hold the commands, `doctor` examines the machine and slides.
"""
