"""Classes of outlines: what the words in annotation files mean. Whatever their case, and of a derived class the first.

The four classes of verdicts are what a person may say of a finding; see `verdicts`.
"""

from __future__ import annotations

TUMOR_CLASSES = frozenset({"_0", "_1", "tumor", "tumour", "metastasis", "metastases", "carcinoma", "cancer"})
"""Lower-case classes that are tumor; ``_0`` and ``_1`` are CAMELYON16's groups beside ``Tumor``."""

EXCLUSION_CLASSES = frozenset({"_2", "exclusion", "exclude", "normal", "ignore"})
"""Lower-case classes that are cut out of the tumor; a ``*`` at the end (QuPath's ``Ignore*``) does not matter."""

REJECTED_CLASSES = frozenset({"not tumor"})
"""Lower-case classes of findings that were rejected: no tumor, and nothing is cut out, so that a person may reject an
outline and draw a better one over it."""

UNDECIDED_CLASSES = frozenset({"unsure", "unreviewed"})
"""Lower-case classes of findings of which nobody knows: no tumor, and no normal tissue to train on."""

TISSUE_CLASSES = frozenset({"tissue"})
"""Lower-case classes of outlines that are the foreground."""

REGION_CLASSES = frozenset({"region"})
"""Lower-case classes of outlines in which foreground is looked for (QuPath's ``Region*``)."""

IGNORED_CLASSES = frozenset({"ignore"})
"""Lower-case classes that are cut out of the foreground (QuPath's ``Ignore*``), such as pen marks and folds."""

UNCLASSIFIED = frozenset({"", "none", "unclassified"})
"""Lower-case classes that say nothing."""


def base_class(label: str | None) -> str:
    """The class of a label in lower case: ``tumor`` of ``Tumor: Positive``, ``ignore`` of ``Ignore*``."""
    return (label or "").split(":")[0].strip().rstrip("*").lower()
