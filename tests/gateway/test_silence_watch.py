"""Units that give no reading are named: once in the log, as one alarm, and no bus of a hundred floods either."""

import logging

import numpy as np
import pytest

from drivers.reading import QUALITY_OF, Channel, Readings, Reason
from drivers.rig import Rig
from drivers.units import UNITS
from gateway.silence_watch import SilenceWatch


def rig(units: int) -> Rig:
    return Rig.model_validate(
        {
            "station": {"id": "s", "gateway": "g"},
            "segment": {"lab": {}},
            "bus": {"rs485": {"kind": "serial", "port": "-", "baud": 9600}},
            "transducer": {
                f"p{unit}": {"model": "keller-33x", "bus": "rs485", "unit": unit, "segment": "lab", "poll": "1 s"}
                for unit in range(1, units + 1)
            },
        }
    )


class Watched:
    """A silence watch that hears each unit once a second."""

    def __init__(self, units: int) -> None:
        self.watch = SilenceWatch(rig(units), 0.0)
        self.now_s = 0.0
        self.units = units
        self.there: dict[str, float | None] = {}

    def go(self, seconds: int, silent: dict[int, Reason] | None = None, paused: frozenset[str] = frozenset()) -> None:
        for _ in range(seconds):
            for unit in range(1, self.units + 1):
                reason = Reason.CONFIG if f"p{unit}" in paused else (silent or {}).get(unit, Reason.NONE)
                self.watch.take(readings(unit, reason, self.now_s))
            self.now_s += 1.0
            seen = list(self.watch.look(self.now_s, paused))
            self.there = {each.condition.id: each.value for each in seen if each.there}


def readings(unit: int, reason: Reason, time_s: float) -> Readings:
    value = np.array([1e5 if reason is Reason.NONE else np.nan])
    reasons = np.array([reason], dtype=np.uint8)
    return Readings(
        channels=(Channel(transducer=f"p{unit}", quantity="pressure", unit=UNITS["Pa"]),),
        values=value,
        quality=QUALITY_OF[reasons],
        reasons=reasons,
        raw=value,
        time_s=time_s,
        uncertainty_s=0.0,
    )


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")


def test_all_answer_is_a_sign_of_life_said_once(caplog: pytest.LogCaptureFixture) -> None:
    Watched(6).go(100)
    assert caplog.messages == ["6 of 6 transducers answer"]


def test_a_silent_unit_is_named_once_and_again_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(3)
    watched.go(5, {2: Reason.TIMEOUT})
    assert watched.there == {}
    watched.go(60, {2: Reason.TIMEOUT})
    assert watched.there == {"silent-p2": None}
    first = (
        "p2 (unit 2 of rs485): no answer for 10 s; to see its line, end this and run `manovac read p2 RIG`",
        "2 of 3 transducers answer",
    )
    assert caplog.messages == [*first]
    watched.go(1)
    assert watched.there == {"silent-p2": None}, "one answer is no answer"
    watched.go(3)
    assert watched.there == {}
    assert caplog.messages == [*first, "p2 (unit 2 of rs485) answers"]


def test_a_pause_is_no_silence_and_after_it_the_unit_has_its_time(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(3)
    watched.go(60, paused=frozenset({"p2"}))
    assert caplog.messages == ["2 of 2 transducers answer"]
    watched.go(5, {2: Reason.TIMEOUT})
    assert watched.there == {}
    watched.go(10, {2: Reason.TIMEOUT})
    assert watched.there == {"silent-p2": None}
    watched.go(1, paused=frozenset({"p2"}))
    assert watched.there == {}


def test_what_a_device_says_of_itself_is_named_too(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(2)
    watched.go(60, {1: Reason.IDENTITY_MISMATCH})
    assert watched.there == {"silent-p1": None}
    assert "p1 (unit 1 of rs485): nothing believable (identity_mismatch) for 10 s" in caplog.text


@pytest.mark.parametrize("reason", [Reason.OUT_OF_RANGE, Reason.SATURATED_LOW, Reason.WARMING_UP])
def test_a_unit_that_says_something_of_the_air_is_not_silent(reason: Reason) -> None:
    watched = Watched(2)
    watched.go(60, {1: reason})
    assert watched.there == {}


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            Reason.TIMEOUT,
            "no byte came: check wiring (A/B swapped?), power, unit numbers, and the line setting 9600 8N1",
        ),
        (Reason.CRC, "bytes came that are no whole answer: check baud and format (9600 8N1 of bus rs485)"),
    ],
)
def test_a_bus_of_a_hundred_silent_units_is_one_line_and_one_alarm(
    caplog: pytest.LogCaptureFixture, reason: Reason, words: str
) -> None:
    watched = Watched(100)
    watched.go(60, dict.fromkeys(range(1, 101), reason))
    assert watched.there == {"bus-silent-rs485": 100.0}
    assert len(caplog.messages) == 2
    assert f"bus rs485: nothing from any of its 100 units: {words}" in caplog.messages[0]
    assert caplog.messages[1] == "0 of 100 transducers answer"


def test_nor_do_ninety_of_a_hundred_flood(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(100)
    watched.go(60, dict.fromkeys(range(1, 91), Reason.TIMEOUT))
    watched.go(10)
    assert watched.there == {}
    assert len(caplog.messages) == 2 * 6 + 1
    assert "bus rs485: and nothing from 85 more of its units" in caplog.messages


def test_a_bus_that_is_down_has_its_own_line_in_the_log_but_is_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(3)
    watched.go(60, dict.fromkeys((1, 2, 3), Reason.BUS_DOWN))
    assert watched.there == {"bus-silent-rs485": 3.0}
    assert caplog.messages == ["0 of 3 transducers answer"]


def test_who_does_not_answer_on_a_bus_that_is_back_is_named_then(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(3)
    watched.go(5)
    watched.go(30, dict.fromkeys((1, 2, 3), Reason.BUS_DOWN))
    watched.go(30, {2: Reason.TIMEOUT})
    assert watched.there == {"silent-p2": None}
    assert caplog.messages[0] == "3 of 3 transducers answer"
    assert caplog.messages[1].startswith("p2 (unit 2 of rs485): no answer for ")
    watched.go(5)
    assert caplog.messages[2:] == ["p2 (unit 2 of rs485) answers"]
