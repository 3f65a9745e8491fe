"""The pN stage of a patient, from the classes of the nodes. Pure.

Source of the rules: the challenge's pages (camelyon17.grand-challenge.org, "Evaluation") and Bándi et al. 2019, see
`nodes`. They simplify the pathologic N of the TNM (UICC, 7th edition) to what slides of axillary nodes show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .nodes import ITC, MACRO, MICRO

STAGES = ("pN0", "pN0(i+)", "pN1mi", "pN1", "pN2", "pN3a")
"""Stages in the order of their gravity. The challenge has the first five, since its patients have five nodes each; the
TNM calls it pN3a where ten or more nodes hold metastases."""

_FEW, _MANY = 3, 9
_NODE_NAME = re.compile(r"(?P<patient>.+)_node_\d+", re.IGNORECASE)


def patient_stage(classes: Iterable[str]) -> str:
    """The stage of a patient.

    Isolated tumor cells make pN0 to pN0(i+), and are no metastasis when nodes are counted. Micrometastases alone are
    pN1mi, however many nodes hold them.

    Args:
        classes: of the patient's nodes, of `nodes.CLASSES`.

    Returns:
        One of `STAGES`.
    """
    found = list(classes)
    num_metastases = sum(name in (MICRO, MACRO) for name in found)
    if MACRO in found:
        return "pN1" if num_metastases <= _FEW else "pN2" if num_metastases <= _MANY else "pN3a"
    if num_metastases:
        return "pN1mi"
    return "pN0(i+)" if ITC in found else "pN0"


def patient_of(slide: str) -> str | None:
    """The patient that a slide's name says, as the challenge names slides: ``patient_000_node_1`` is ``patient_000``.

    Args:
        slide: the slide's name, without the suffix.

    Returns:
        The patient, or None if the name says none.
    """
    match = _NODE_NAME.fullmatch(slide)
    return match["patient"] if match else None
