"""Components of the pathology tumor detection bundle; configs name them as ``scripts.<module>.<name>``."""

from pathlib import Path


def bundle_root() -> str:
    """The folder that holds ``configs``, ``scripts`` and ``models``, wherever it was installed."""
    return str(Path(__file__).resolve().parents[1])
