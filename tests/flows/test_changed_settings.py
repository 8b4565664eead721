"""Settings that hold for a while are copied once, and what was there before holds again after."""

import pytest
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, get_current_settings

from tasks.changed_settings import changed_settings


def test_they_hold_inside_one_in_another_and_are_copied_once() -> None:
    before = get_current_settings()
    retries = PREFECT_CLIENT_MAX_RETRIES.value()
    copies = []
    for _ in range(2):
        with changed_settings({PREFECT_API_REQUEST_TIMEOUT: 7.5}), changed_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            assert (PREFECT_API_REQUEST_TIMEOUT.value(), PREFECT_CLIENT_MAX_RETRIES.value()) == (7.5, 0)
            copies.append(get_current_settings())
        assert get_current_settings() is before
    assert copies[0] is copies[1]
    assert PREFECT_CLIENT_MAX_RETRIES.value() == retries > 0


def test_other_values_are_another_copy() -> None:
    for tries in (3, 4, 3):
        with changed_settings({PREFECT_CLIENT_MAX_RETRIES: tries}):
            assert PREFECT_CLIENT_MAX_RETRIES.value() == tries


def test_an_error_ends_them() -> None:
    before = get_current_settings()
    with pytest.raises(KeyError), changed_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        raise KeyError
    assert get_current_settings() is before
