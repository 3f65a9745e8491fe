from __future__ import annotations

import pytest

from scripts.errors import InputError
from scripts.review.serving import host_names, open_port


def test_a_local_server_has_local_names() -> None:
    assert host_names("127.0.0.1", 80) == ["127.0.0.1:80", "[::1]:80", "localhost:80"]


def test_another_address_has_its_own_name_alone() -> None:
    assert host_names("10.1.2.3", 80) == ["10.1.2.3:80"]


def test_everywhere_is_no_name() -> None:
    found = host_names("0.0.0.0", 80)
    assert "127.0.0.1:80" in found
    assert "0.0.0.0:80" not in found


def test_a_taken_port_is_told() -> None:
    with open_port("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}: cannot listen"):
            open_port("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", -1), ("127.0.0.1", 70_000), ("198.51.100.7", 0), ("no such", 0)]
)
def test_other_places_are_refused(host: str, port: int) -> None:
    with pytest.raises(InputError, match=r"port|cannot listen"):
        open_port(host, port)
