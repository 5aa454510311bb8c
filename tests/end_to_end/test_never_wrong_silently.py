"""Promise 1: whatever happens on the bus, no wrong value is reported as good, no old answer stamped as a new one."""

from typing import Any, Final

import pytest

from drivers.exchange import Request
from drivers.ledger import Ledger, Verdict
from drivers.pipelined import Pipelined
from drivers.reading import Quality, Reason
from drivers.rig import Rig
from tests.end_to_end.virtual_station import FALLING, RISING, keller, observe, rig

TROUBLE_S: Final = (4.0, 14.0)
END_S: Final = 28.0
HEALED_S: Final = 22.0


def register(address: int, unit: str = "kPa", **more: Any) -> dict[str, Any]:
    return {"address": address, "type": "float32", "unit": unit, **more}


def mapped(unit: int, segment: str, *, first: int) -> dict[str, Any]:
    """Two blocks of equal length, too far apart to be read in one go."""
    registers = {"pressure": register(first), "temperature": register(first + 1000, "C")}
    return {"model": "modbus-map", "unit": unit, "segment": segment, "poll": "250 ms", "map": registers}


MAPPED: Final = {
    "p1": mapped(1, FALLING, first=0),
    "p2": mapped(1, RISING, first=3000),
    "p3": mapped(2, RISING, first=0),
}
STATIONS: Final[dict[str, Rig]] = {
    "keller": rig({"kind": "serial", "baud": 19200}, {"p1": keller(1, FALLING), "p2": keller(2, RISING)}),
    "map": rig({"kind": "serial", "baud": 19200}, MAPPED),
    "map-tcp": rig({"kind": "modbus-tcp"}, MAPPED),
    "vaisala": rig(
        {"kind": "line-over-tcp", "baud": 9600, "format": "7E1"},
        {"p1": {"model": "vaisala-ptb330", "unit": 0, "segment": FALLING, "poll": "500 ms"}},
    ),
    "paroscientific": rig(
        {"kind": "line-over-tcp", "baud": 19200},
        {
            "p1": {"model": "paroscientific-6000", "unit": 1, "segment": FALLING, "poll": "500 ms"},
            "p2": {"model": "paroscientific-6000", "unit": 2, "segment": RISING, "poll": "500 ms"},
        },
    ),
}
FAULTS: Final = (
    "silence",
    "late,delay=20ms",
    "late,delay=60ms",
    "late,delay=180ms",
    "late,delay=400ms",
    "late,delay=1500ms",
    "late,delay=6s",
    "crc",
    "truncate,bytes=1",
    "truncate,bytes=7",
    "noise,before=3,after=2",
    "duplicate,delay=20ms",
    "duplicate,delay=400ms",
    "duplicate,delay=3s",
    "foreign",
    "echo",
    "echo,answer=0",
    "exception",
    "reboot,deaf=700ms",
)
LEFT_OUT: Final = {
    "map-tcp": ("crc", "noise", "echo"),  # TCP mends what a line does to bytes
    "paroscientific": (
        "exception",
        "crc",
    ),  # it knows no refusal; nothing protects its digits but a limit like max_rate
}
CASES: Final = [
    pytest.param(station, fault, id=f"{station}-{fault}")
    for station in STATIONS
    for fault in FAULTS
    if not fault.startswith(LEFT_OUT.get(station, ("-",)))
]


def spec(fault: str, target: str, condition: str) -> str:
    kind, comma, parameters = fault.partition(",")
    start_s, end_s = TROUBLE_S
    return f"{kind}:{target}@{start_s:g}s+{end_s - start_s:g}s{condition}{comma}{parameters}"


@pytest.mark.parametrize(("station", "fault"), CASES)
@pytest.mark.parametrize(("target", "condition"), [("p1", "@40%"), ("b", "@/3")], ids=["one", "all"])
def test_no_wrong_value_is_reported_as_good_after(station: str, fault: str, target: str, condition: str) -> None:
    seen = observe(STATIONS[station], END_S, faults=[spec(fault, target, condition)])
    assert fault.partition(",")[0] in seen.struck()
    assert seen.untrue == []
    for transducer in STATIONS[station].transducers:  # the promise must not be kept by silence
        assert len(seen.good(transducer, end_s=TROUBLE_S[0])) >= 6
        healed = seen.of(transducer, start_s=HEALED_S)
        assert len(healed) >= 10
        assert {each.quality for each in healed} == {Quality.GOOD}


@pytest.mark.parametrize("station", STATIONS)
def test_no_wrong_value_is_reported_as_good_while_everything_goes_wrong_at_once(station: str) -> None:
    # late and under another unit's address: without a checksum or a label nobody can tell it from that unit's answer
    untold = ("foreign",) if station == "paroscientific" else ()
    left_out = (*LEFT_OUT.get(station, ()), *untold, "reboot")
    faults = [spec(fault, "*", "@2%").replace("+10s", "+36s") for fault in FAULTS if not fault.startswith(left_out)]
    seen = observe(STATIONS[station], 58.0, faults=faults)
    assert len(seen.struck()) >= 4
    assert seen.untrue == []
    for transducer in STATIONS[station].transducers:
        assert len(seen.good(transducer, start_s=5.0, end_s=40.0)) >= 4
        assert {each.quality for each in seen.of(transducer, start_s=52.0)} == {Quality.GOOD}


@pytest.mark.parametrize("echo", [(), ("b",)], ids=["silent adapter", "adapter that hears itself"])
@pytest.mark.parametrize("target", ["p1", "p2"])
def test_an_old_answer_is_never_stamped_as_a_new_one_however_late_it_is(target: str, echo: tuple[str, ...]) -> None:
    for delay_ms in (5, 12, 25, 40, 70, 110, 160, 200, 250, 320, 500, 700, 1000, 2500, 4000, 8000):
        fault = f"late:{target}@3s+9s@/4,delay={delay_ms}ms"
        seen = observe(STATIONS["keller"], 16.0, faults=[fault], echo=echo)
        assert "late" in seen.struck(), fault
        assert seen.untrue == [], fault


def trusting(ledger: Ledger, frame: bytes, answers: Request) -> Verdict:
    """Believe every intact frame, as usual clients do."""
    newest = list(ledger.owed)[-1:]
    if newest and newest[0].measure(frame, 0) == len(frame):
        del ledger._owed[-1]
        return Verdict.PROVEN
    return Verdict.STRAY


@pytest.mark.parametrize("station", ["map", "paroscientific"])
def test_the_same_faults_catch_a_bus_that_trusts_every_intact_frame(
    station: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "heard", trusting)
    monkeypatch.setattr(Ledger, "settled", lambda ledger, request: True)
    faults = (f"late:p1@3s+12s@40%,delay={delay_ms}ms" for delay_ms in (*range(240, 560, 10), *range(660, 860, 20)))
    assert any(observe(STATIONS[station], 20.0, faults=[fault]).untrue for fault in faults)


def test_the_same_faults_catch_a_bus_that_uses_one_transaction_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipelined, "_next_transaction", lambda line: 7)
    faults = (spec(f"late,delay={delay_ms}ms", "p1", "@40%") for delay_ms in (400, 500, 520, 780, 1280))
    assert any(observe(STATIONS["map-tcp"], 25.0, faults=[fault]).untrue for fault in faults)


def test_a_value_that_stands_still_is_good_no_longer_than_the_rig_file_allows() -> None:
    watched = {**keller(1, FALLING), "frozen_after": "2 s"}
    seen = observe(rig({"kind": "serial"}, {"p1": watched}), 30.0, faults=["stuck:p1@10s+10s"])
    stuck = seen.of("p1", start_s=12.3, end_s=20.0)
    assert len(stuck) >= 25
    assert {(each.quality, each.reason) for each in stuck} == {(Quality.UNCERTAIN, Reason.FROZEN)}
    assert {each.quality for each in seen.of("p1", start_s=20.5)} == {Quality.GOOD}


def test_a_restart_is_told_and_the_values_before_and_after_it_are_right() -> None:
    seen = observe(STATIONS["keller"], 20.0, faults=["reboot:p1@10020ms,deaf=0ms"])
    assert Reason.RESTARTED in {each.reason for each in seen.of("p1", start_s=10.0, end_s=15.0)}
    assert {each.quality for each in seen.of("p1", start_s=15.0)} == {Quality.GOOD}
    assert seen.untrue == []


def test_an_exchanged_transmitter_is_bad_and_never_good() -> None:
    transducers = {"p1": keller(1, FALLING, serial_number=104211), "p2": keller(2, RISING, serial_number=104212)}
    plugged = rig({"kind": "serial"}, transducers)
    expected = rig({"kind": "serial"}, {**transducers, "p1": keller(1, FALLING, serial_number=999)})
    seen = observe(expected, 10.0, emulate=plugged)
    assert {(each.quality, each.reason) for each in seen.of("p1")} == {(Quality.BAD, Reason.IDENTITY_MISMATCH)}
    assert {each.quality for each in seen.of("p2")} == {Quality.GOOD}
