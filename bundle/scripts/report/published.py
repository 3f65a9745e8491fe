"""Published scores of CAMELYON16, each with the conditions under which it was obtained."""

from __future__ import annotations

from typing import NamedTuple


class PublishedScore(NamedTuple):
    """A score to stand beside this run's.

    Attributes:
        who: whose it is.
        froc: the FROC score.
        conditions: on which slides, how.
        source: where it is published.
    """

    who: str
    froc: float
    conditions: str
    source: str


CAMELYON16 = (
    PublishedScore(
        "Pathologist without time limit",
        0.724,
        "sensitivity at no false positive, on the test set; not a mean over false positives",
        "Ehteshami Bejnordi et al., JAMA 2017",
    ),
    PublishedScore("MONAI's public bundle", 0.72, "ResNet-18, on the 48 test slides with tumor", "its model card"),
    PublishedScore(
        "NCRF, ResNet-18",
        0.78,
        "on the test set without test_114, stride 64; a user of its published weights reports 0.75",
        "Li and Ping, MIDL 2018; issue 54 of NCRF's repository",
    ),
    PublishedScore(
        "NCRF, ResNet-18 with CRF", 0.81, "on the test set without test_114, stride 64", "Li and Ping, MIDL 2018"
    ),
    PublishedScore(
        "HMS and MIT", 0.807, "winner of the challenge, second submission", "Ehteshami Bejnordi et al., JAMA 2017"
    ),
    PublishedScore("ScanNet", 0.853, "on the test set", "Lin et al., IEEE TMI 2019"),
    PublishedScore("PFA-ScanNet, single model", 0.891, "on the test set", "Zhao et al., MICCAI 2019"),
    PublishedScore("PFA-ScanNet", 0.902, "on the test set, several models", "Zhao et al., MICCAI 2019"),
)
