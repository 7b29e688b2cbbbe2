"""A moment as a person writes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt.moments import MEANT, moment

DAY_S = 86_400
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device there."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def span(day: str) -> tuple[float, float]:
    return moment(day, is_end=False), moment(day, is_end=True)


@pytest.mark.usefixtures("berlin")
def test_day_is_that_of_the_device_from_midnight_to_midnight() -> None:
    start, end = span("2026-07-01")
    assert start == datetime(2026, 6, 30, 22, tzinfo=timezone.utc).timestamp()
    assert end - start == DAY_S


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_day_on_which_clocks_change_is_whole(day: str, hours: int) -> None:
    start, end = span(day)
    assert end - start == hours * 3_600


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01T00:00", "2026-06-30T22:00:00+00:00"),
        ("2026-01-01 12:30:15.5", "2026-01-01T11:30:15.500000+00:00"),
        ("2026-07-01T00:00:00Z", "2026-07-01T00:00:00+00:00"),
        (" 2026-07-01T00:00:00-05:00 ", "2026-07-01T05:00:00+00:00"),
    ],
)
def test_time_without_an_offset_is_the_devices_and_one_with_it_is_not(text: str, expected: str) -> None:
    for is_end in (False, True):
        assert moment(text, is_end=is_end) == datetime.fromisoformat(expected).timestamp()


@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1), timezones=offsets))  # noqa: DTZ001 - hypothesis adds it
def test_whatever_iso_writes_is_read_back(when: datetime) -> None:
    assert moment(when.isoformat(), is_end=False) == moment(when.isoformat(), is_end=True) == when.timestamp()


@given(st.floats(0, 253_402_300_799))
def test_unix_time_is_itself(seconds: float) -> None:
    assert moment(seconds, is_end=False) == moment(seconds, is_end=True) == seconds


@given(st.text() | st.floats() | st.from_regex(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?"))
def test_anything_is_a_time_in_range_or_refused_with_what_is_allowed(value: str | float) -> None:
    said = ""
    try:
        assert 0 <= moment(value, is_end=True) <= 253_402_300_799
    except ValueError as error:
        said = str(error)
    assert not said or (said.startswith("is ") and said.endswith(MEANT))


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-02-30", "2026-13-01", "9999-12-31", "1969-01-01", "Z", "12:00"]
)
def test_what_is_no_day_and_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is '.*': must be seconds of Unix time, a day like 2026-07-01, or a time"):
        moment(text, is_end=True)
