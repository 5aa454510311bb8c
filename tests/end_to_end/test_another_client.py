"""Another client on the line asks our units: an answer to it must never be taken for an answer to us.

The host hears the other's question, so it knows that the unit owes an answer which is not ours.
"""

from typing import Final

import pytest

from drivers.ledger import Ledger
from drivers.reading import Quality
from tests.end_to_end.test_never_wrong_silently import STATIONS
from tests.end_to_end.virtual_station import Observed, observe

P2S_PRESSURE: Final = "01030bb80002460a"
"""Asks unit 1 of the station "map" for a value as long as each other of its values."""

CASES: Final = [
    ("paroscientific", "intruder:b@4s+10s,every=90ms"),
    ("paroscientific", "intruder:b@4s+10s,every=170ms"),
    ("paroscientific", "intruder:b@4s+10s,every=510ms"),
    ("vaisala", "intruder:b@4s+10s,every=510ms"),
    ("map", f"intruder:b@4s+10s,every=70ms,request={P2S_PRESSURE}"),
    ("map", f"intruder:b@4s+10s,every=110ms,request={P2S_PRESSURE}"),
    ("map", f"intruder:b@4s+10s,every=333ms,request={P2S_PRESSURE}"),
]


def busy_line(station: str, fault: str) -> Observed:
    """Watch a station whose units take their time, so that two questions can be under way."""
    slow = ["late:b@4s+10s,delay=30ms"] if station == "map" else []
    return observe(STATIONS[station], 26.0, faults=[*slow, fault])


@pytest.mark.parametrize(("station", "fault"), CASES)
def test_what_another_client_asked_for_is_never_taken_for_ours(station: str, fault: str) -> None:
    seen = busy_line(station, fault)
    assert any(record.talker == "stranger" for record in seen.trace.records)
    assert seen.untrue == []
    for transducer in STATIONS[station].transducers:
        assert {each.quality for each in seen.of(transducer, start_s=22.0)} == {Quality.GOOD}


def test_a_client_that_asks_now_and_then_costs_few_readings() -> None:
    seen = busy_line("map", CASES[-1][1])
    for transducer in STATIONS["map"].transducers:
        asked, good = (get(transducer, start_s=4.5, end_s=14.0) for get in (seen.of, seen.good))
        assert len(good) >= 0.8 * len(asked)


def test_the_same_traffic_catches_a_bus_that_ignores_what_others_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "overheard", lambda ledger, *, alike=False: None)
    assert busy_line("map", CASES[-1][1]).untrue
