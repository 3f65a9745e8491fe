"""The code of the bundle, in packages along the way of the data; configs name ``scripts.<package>.<module>.<name>``."""

from pathlib import Path


def bundle_root() -> str:
    """The folder that holds ``configs``, ``scripts`` and ``models``, wherever it was installed."""
    return str(Path(__file__).resolve().parents[1])
