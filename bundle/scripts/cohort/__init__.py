"""Which slides count and what is known of them: truth, class, center, what is left out.

Comes in: the names of maps or detections, folders of truth, reference tables. Goes out: the truth and the facts of
each slide, for ``scoring`` and ``labels``. Floor: between ``scoring`` and ``inference`` above and ``maps`` and
``masks`` below.
"""
