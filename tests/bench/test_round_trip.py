"""The round trip of a question through a real broker and a real daemon: what was promised for two cores."""

from __future__ import annotations

import re

import pytest

from edge.bench.round_trip import PAYLOAD_BYTES, Trips, main, table

MOST_TOTAL_MS, MOST_MQTT_MS = 60, 3


def test_table_has_the_median_and_the_95th_percentile_of_each_part() -> None:
    trips = Trips("plain", [10.0, 20.0, 30.0], [9.0, 18.0, 27.0])
    assert table([trips]).splitlines()[2:] == ["| plain | 20.0 / 29.0 | 18.0 / 26.1 | 2.0 / 2.9 |"]
    assert trips.mqtt_ms == [1, 2, 3]


@pytest.mark.parametrize("option", ["--items", "--questions"])
def test_nothing_to_measure_is_a_usage_error(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option, "0"])
    assert ended.value.code == 2
    assert "must be 1 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_question_at_1000_items_is_answered_within_60_ms_and_3_of_them_are_mqtt(
    capsys: pytest.CaptureFixture[str], pytestconfig: pytest.Config
) -> None:
    assert main(["--items", "1000", "--questions", "60"]) == 0
    printed = capsys.readouterr().out
    with capsys.disabled():
        pytestconfig.get_terminal_writer().line(f"\n{printed}")
    row = re.search(r"^\| coarse search alone \|(.*)\|$", printed, re.MULTILINE)
    assert row
    (_, total_p95), _, (mqtt_p50, _) = ([float(part) for part in cell.split("/")] for cell in row[1].split("|"))
    assert total_p95 <= MOST_TOTAL_MS
    assert mqtt_p50 <= MOST_MQTT_MS
    assert PAYLOAD_BYTES == 200
