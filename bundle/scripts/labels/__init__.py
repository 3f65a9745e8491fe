"""Where to train: the loclabel file, which holds patch centers and the labels of the cells around them.

Comes in: patch centers with annotations, or slides with truth, or maps with false positives (`mining`). Goes out: a
CSV file for ``training``. Floor: beside ``exports``, ``report`` and ``cluster``, above ``scoring`` and ``inference``.
"""
