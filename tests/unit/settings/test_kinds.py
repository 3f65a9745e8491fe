from __future__ import annotations

import pytest

from scripts.errors import InputError
from scripts.settings.kinds import check_settings


def test_an_id_whose_default_is_auto_takes_auto_beside_its_kind() -> None:
    defaults = {"batch_size": "auto"}
    for value in ("auto", 7):
        check_settings("", {"batch_size": value}, defaults)
    for wrong in (0, "all", None):
        with pytest.raises(InputError, match="batch_size: expected a whole number from 1 to 2147483647 or auto, found"):
            check_settings("", {"batch_size": wrong}, defaults)


def test_an_id_whose_default_is_a_number_takes_no_auto() -> None:
    with pytest.raises(InputError, match="batch_size: expected a whole number from 1 to 2147483647, found 'auto'"):
        check_settings("", {"batch_size": "auto"}, {"batch_size": 16})
