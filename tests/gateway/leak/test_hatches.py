"""Who is believed of a hatch: what a contact says twice, then a command, then the rig file; silence moves nothing."""

import numpy as np
import pytest

from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import HatchState, Rig
from drivers.units import UNITS
from gateway.leak.contacts import delay_s
from gateway.leak.hatches import Hatches
from tests.gateway.leak.test_bodies import state

OPEN, CLOSED, UNKNOWN = HatchState.OPEN, HatchState.CLOSED, HatchState.UNKNOWN


def rig(poll="1 s", begin="unknown"):
    return Rig.model_validate(
        {
            "station": {"id": "s", "gateway": "g"},
            "segment": {"a": {}, "b": {}, "c": {}},
            "hatch": [
                {"between": ["a", "b"], "state": begin, "contact": "x"},
                {"between": ["b", "c"], "state": begin},
            ],
            "bus": {"l": {"kind": "serial", "port": "-"}},
            "transducer": {
                "x": {
                    "model": "modbus-map",
                    "bus": "l",
                    "segment": "a",
                    "poll": poll,
                    "map": {"contact": {"function": 2, "address": 0}},
                }
            },
        }
    )


def says(value, time_s, quality=Quality.GOOD):
    return Readings(
        channels=(Channel(transducer="x", quantity="contact", unit=UNITS["1"]),),
        values=np.array([value]),
        quality=np.array([quality], dtype=np.uint8),
        reasons=np.array([Reason.NONE if quality is Quality.GOOD else Reason.EXCEPTION], dtype=np.uint8),
        raw=np.array([value]),
        time_s=time_s,
        uncertainty_s=0.0,
    )


def heard(hatches, *readings):
    found = []
    for reading in readings:
        for hatch, now, time_s in hatches.hear(reading):
            hatches.tell(hatch, now, "transducer", time_s)
            found.append((hatch, now, time_s))
    return found


def test_a_contact_that_bounces_once_moves_nothing_and_one_that_stays_does_once():
    hatches = Hatches(rig(), 0.0)
    assert heard(hatches, says(1.0, 1.0), says(0.0, 2.0), says(1.0, 3.0)) == []
    assert heard(hatches, says(1.0, 4.0), says(1.0, 5.0)) == [("a--b", OPEN, 4.0)]
    assert heard(hatches, says(0.0, 6.0), says(1.0, 7.0)) == []
    assert hatches.now["a--b"].state is OPEN
    assert hatches.news() == ("a--b",)
    assert hatches.news() == ()


def test_a_bad_reading_says_nothing_and_keeps_no_word_fresh():
    hatches = Hatches(rig(), 0.0)
    heard(hatches, says(0.0, 1.0), says(0.0, 2.0))
    assert heard(hatches, says(1.0, 3.0, Quality.BAD), says(1.0, 4.0, Quality.BAD)) == []
    hatches.look({}, 5.0)
    assert hatches.now["a--b"].quality is Quality.GOOD
    hatches.look({}, 5.1)
    assert (hatches.now["a--b"].state, hatches.now["a--b"].quality) == (CLOSED, Quality.STALE)
    (note,) = hatches.doubts(rig().hatches[0], passes=False, now_s=5.1)
    assert note == "x, the contact of a--b, is silent: taken as closed still; look, and tell"


def test_a_command_counts_where_no_contact_speaks():
    hatches = Hatches(rig(), 0.0)
    assert hatches.tell("b--c", OPEN, "command", 1.0)
    assert hatches.tell("a--b", OPEN, "command", 1.0)
    heard(hatches, says(0.0, 2.0), says(0.0, 3.0))
    assert not hatches.tell("a--b", CLOSED, "command", 4.0), "it is so"
    assert hatches.now["a--b"].source == "transducer"
    with pytest.raises(LookupError, match="a--b is closed: its contact x says so, and counts for more"):
        hatches.tell("a--b", UNKNOWN, "command", 4.0)
    assert hatches.tell("a--b", OPEN, "command", 10.0)
    assert hatches.now["a--b"].source == "command"


def test_pressures_that_differ_for_long_say_closed_of_a_hatch_that_nobody_knows_and_equal_ones_nothing():
    hatches = Hatches(rig(), 0.0)
    equal = {name: state(name) for name in "abc"}
    apart = {**equal, "c": state("c", pressure_pa=99_000.0)}
    assert hatches.look(equal, 100.0) == []
    assert hatches.look(apart, 101.0) == []
    assert hatches.look(apart, 120.9) == []
    assert hatches.look(apart, 121.0) == ["b--c"]
    assert hatches.look(equal, 122.0) == []
    assert hatches.look(apart, 123.0) == [], "it must last without a break"


def test_open_by_its_contact_between_pressures_that_differ_is_a_contradiction_and_by_a_command_a_doubt():
    hatches = Hatches(rig(), 0.0)
    apart = {"a": state("a"), "b": state("b", pressure_pa=99_000.0), "c": state("c")}
    heard(hatches, says(1.0, 1.0), says(1.0, 2.0))
    hatches.tell("b--c", OPEN, "command", 1.0)
    for second in range(3, 24):
        heard(hatches, says(1.0, float(second)))
        hatches.look(apart, float(second))
    assert list(hatches.contradicted()) == ["a--b"]
    (by_contact,), (by_command,) = (hatches.doubts(each, passes=False, now_s=23.0) for each in rig().hatches)
    assert by_contact.startswith("a--b is by its contact x open, yet its two sides differ")
    assert by_command.startswith("b--c is said to be open, yet its two sides differ")


@pytest.mark.parametrize(("poll", "waits_s"), [("500 ms", 1.0), ("2 s", 4.0), ("1 min", 5.0)])
def test_pressures_wait_two_polls_of_a_contact_and_never_long(poll, waits_s):
    assert delay_s(rig(poll)) == waits_s
    assert delay_s(rig(poll).model_copy(update={"hatches": ()})) == 0.0
