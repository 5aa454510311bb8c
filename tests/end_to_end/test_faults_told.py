"""Each kind of fault from the emulator to the reading: nothing untrue is good, the cause is named, others go on.

What a sensor does no driver can see; those kinds have their own tests, which say so.
"""

from typing import Any, Final

import pytest

from drivers.reading import Quality, Reason
from firmware_sim.fault_kinds import KINDS, kinds_of
from tests.end_to_end.virtual_station import FALLING, RISING, Observed, keller, observe, rig

TROUBLE_S: Final = (4.0, 16.0)
HEALED_S: Final = 24.0
END_S: Final = 30.0
FOUR: Final = rig(
    {"kind": "serial", "baud": 19200},
    {f"p{unit}": keller(unit, FALLING if unit % 2 else RISING) for unit in range(1, 5)},
)


def strike(fault: str, **more: Any) -> Observed:
    """Let a fault of the four's line or of p3 strike for the time of trouble."""
    head, comma, numbers = fault.partition(",")
    place, *conditions = head.split("@")
    start_s, end_s = TROUBLE_S
    spec = "@".join([place, f"{start_s:g}s+{end_s - start_s:g}s", *conditions])
    return observe(FOUR, END_S, faults=[f"{spec}{comma}{numbers}"], **more)


def share_good(seen: Observed, name: str) -> float:
    """Return the share of good readings in the time of trouble."""
    start_s, end_s = TROUBLE_S[0] + 0.5, TROUBLE_S[1]
    return len(seen.good(name, start_s=start_s, end_s=end_s)) / len(seen.of(name, start_s=start_s, end_s=end_s))


def outcomes(seen: Observed, unit: int) -> set[str]:
    return set(seen.health()["buses"]["b"]["units"][str(unit)]["attempts"]) - {"reply", "exception"}


ONE_UNIT: Final = [
    ("silence:p3", {"timeout"}, 0.0),
    ("late:p3@50%", {"timeout"}, 0.9),
    ("crc:p3", {"crc"}, 0.0),
    ("truncate:p3", {"short"}, 0.0),
    ("head:p3,within=20ms", {"crc"}, 0.0),
    ("split:p3", set(), 1.0),
    ("split:p3,pause=400ms", {"short"}, 0.0),
    ("noise:p3", set(), 1.0),
    ("duplicate:p3", set(), 1.0),
    ("foreign:p3,unit=9", {"foreign"}, 0.0),
    ("function:p3", {"foreign"}, 0.0),
    ("echo:p3,answer=0", {"timeout"}, 0.0),
    ("exception:p3", {"exception"}, 0.0),
    ("brownout:p3", {"timeout", "crc"}, 0.9),
    ("address:p3,unit=9", {"timeout"}, 0.0),
    ("baud:p3", {"timeout"}, 0.0),
    ("skew:p3,speed=50%", set(), 1.0),
]


@pytest.mark.parametrize(("fault", "causes", "most_good"), ONE_UNIT, ids=[fault for fault, *_ in ONE_UNIT])
def test_a_units_fault_is_told_by_its_cause_and_harms_no_other(fault: str, causes: set[str], most_good: float) -> None:
    seen = strike(fault)
    assert seen.untrue == []
    assert causes - {"exception"} <= outcomes(seen, 3)
    assert share_good(seen, "p3") <= most_good
    if causes:
        assert seen.of("p3", start_s=TROUBLE_S[0] + 1.0)[0].quality is not Quality.STALE
    for other in ("p1", "p2", "p4"):
        assert share_good(seen, other) >= 0.95
    for name in FOUR.transducers:
        assert {each.quality for each in seen.of(name, start_s=HEALED_S)} == {Quality.GOOD}


WHOLE_LINE: Final = [
    ("bits:b,rate=0.1%", {"crc", "timeout"}),
    ("intruder:b,every=170ms", {"crc"}),
    ("intruder:b,every=90ms,request=0303000200026429", {"crc"}),
    ("traffic:b,every=100ms", {"foreign"}),
    ("babble:p3", {"crc"}),
    ("babble:p3,bytes=0", {"crc"}),
]


@pytest.mark.parametrize(("fault", "causes"), WHOLE_LINE, ids=[fault for fault, _ in WHOLE_LINE])
def test_whoever_disturbs_the_whole_line_is_noticed_and_the_units_are_still_read(fault: str, causes: set[str]) -> None:
    seen = strike(fault)
    assert seen.untrue == []
    assert causes <= set().union(*(outcomes(seen, unit) for unit in range(1, 5)))
    for name in FOUR.transducers:
        assert share_good(seen, name) >= 0.5
        assert {each.quality for each in seen.of(name, start_s=HEALED_S)} == {Quality.GOOD}


def test_a_cut_cable_takes_all_units_beyond_it_and_no_other() -> None:
    seen = strike("cut:p3")
    assert seen.untrue == []
    assert [share_good(seen, name) for name in FOUR.transducers] == [1.0, 1.0, 0.0, 0.0]
    assert {"timeout"} <= outcomes(seen, 3) & outcomes(seen, 4)
    assert {each.quality for name in FOUR.transducers for each in seen.of(name, start_s=HEALED_S)} == {Quality.GOOD}


@pytest.mark.parametrize("kind", ["unplug", "rename"])
def test_a_port_that_has_gone_is_told_as_a_bus_that_is_down(kind: str) -> None:
    seen = strike(f"{kind}:b")
    assert seen.untrue == []
    for name in FOUR.transducers:
        gone = seen.of(name, start_s=TROUBLE_S[0] + 0.3, end_s=TROUBLE_S[1])
        assert {(each.quality, each.reason) for each in gone} == {(Quality.BAD, Reason.BUS_DOWN)}
        assert {each.quality for each in seen.of(name, start_s=HEALED_S)} == {Quality.GOOD}


def test_a_restart_is_told() -> None:
    seen = observe(FOUR, END_S, faults=["reboot:p3@4020ms,deaf=0ms"])
    assert Reason.RESTARTED in {each.reason for each in seen.of("p3", start_s=4.0, end_s=8.0)}
    assert seen.untrue == []


@pytest.mark.parametrize("fault", ["offset:p3", "drift:p3", "spike:p3@20%"])
def test_no_driver_can_know_that_a_sensor_lies(fault: str) -> None:
    """An intact answer with a wrong value: only other transducers of its segment can tell, or a limit of the rig."""
    seen = strike(fault)
    lies = {lie.split()[0] for lie in seen.untrue}
    assert lies == {"p3.pressure"}
    for name in FOUR.transducers:
        assert {each.quality for each in seen.of(name, start_s=HEALED_S)} == {Quality.GOOD}


def test_a_spike_beyond_the_rigs_limit_is_not_good() -> None:
    watched = rig({"kind": "serial", "baud": 19200}, {"p1": keller(1, FALLING, max_rate="2 kPa/s")})
    seen = observe(watched, 20.0, faults=["spike:p1@4s+12s@/10"])
    assert seen.untrue == []
    assert Reason.SPIKE in {each.reason for each in seen.of("p1", start_s=4.0, end_s=16.0)}


def test_a_stuck_sensor_is_suspect_where_the_rig_says_so() -> None:
    watched = rig({"kind": "serial", "baud": 19200}, {"p1": keller(1, FALLING, frozen_after="2 s")})
    seen = observe(watched, 20.0, faults=["stuck:p1@4s+12s"])
    assert {each.reason for each in seen.of("p1", start_s=6.5, end_s=16.0)} == {Reason.FROZEN}


def test_a_fault_strikes_at_the_request_that_it_is_meant_for() -> None:
    """The values begin at register 0x0100, the fence that follows a doubtful answer is put to others."""
    seen = strike("crc:p3@=0303..00")
    start_s, end_s = TROUBLE_S
    asked = [
        record.data[:4]
        for record in seen.trace.records
        if record.talker == "host" and record.data[0] == 3 and start_s <= record.t_ns * 1e-9 < end_s
    ]
    meant, all_asked = asked.count(b"\x03\x03\x01\x00") + asked.count(b"\x03\x03\x02\x00"), len(asked)
    struck = sum(not record.data for record in seen.trace.records)
    assert 0 < struck <= meant < all_asked
    assert seen.untrue == []


def test_every_kind_is_tried_here() -> None:
    tried = {fault.partition(":")[0] for fault, *_ in (*ONE_UNIT, *WHOLE_LINE)}
    assert tried | {"cut", "reboot"} | kinds_of("sensor", "port") == KINDS.keys()
