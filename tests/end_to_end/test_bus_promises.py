"""What a bus owes its units and its line: silence before requests, one outcome each, nobody harmed by another."""

import asyncio
from typing import Any, Final

import jsonschema
import pytest

from drivers.models.keller_33x import Keller33x
from drivers.reading import Quality, Reading, Reason
from gateway.mqtt.schemas import schema
from tests.end_to_end.virtual_station import FALLING, RISING, Observed, keller, observe, rig

SATURATED: Final = "10 ms"


def described(poll: str) -> dict[str, dict[str, Any]]:
    return {f"p{unit}": keller(unit, FALLING if unit % 2 else RISING, poll) for unit in range(1, 9)}


EIGHT: Final = rig({"kind": "serial", "baud": 19200}, described(SATURATED))
TWO: Final = rig({"kind": "serial", "baud": 19200}, {"p1": keller(1, FALLING), "p2": keller(2, RISING)})


@pytest.mark.parametrize("baud", [9600, 19200, 115200])
@pytest.mark.parametrize("echo", [(), ("b",)], ids=["silent adapter", "adapter that hears itself"])
def test_silence_of_3_5_characters_is_kept_before_every_request(baud: int, echo: tuple[str, ...]) -> None:
    eight = rig({"kind": "serial", "baud": baud}, described(SATURATED))
    seen = observe(eight, {9600: 45.0, 19200: 25.0, 115200: 11.0}[baud], echo=echo)
    assert seen.lines["b"].requests >= 1000
    assert (seen.lines["b"].violations, seen.lines["b"].collisions) == (0, 0)


@pytest.mark.parametrize("fault", ["silence", "crc", "truncate", "duplicate,delay=30ms", "foreign", "exception"])
def test_silence_of_3_5_characters_is_kept_also_in_trouble(fault: str) -> None:
    kind, comma, parameters = fault.partition(",")
    seen = observe(EIGHT, 20.0, faults=[f"{kind}:p3@10%{comma}{parameters}"])
    assert kind in seen.struck()
    assert seen.lines["b"].violations == 0


def good_polls(seen: Observed, start_s: float, end_s: float) -> int:
    return sum(len(seen.good(f"p{unit}", start_s=start_s, end_s=end_s)) for unit in range(1, 9))


@pytest.mark.parametrize("died_s", [20.0, 20.011, 20.017])
def test_a_dead_unit_costs_a_tenth_at_most_is_bad_at_once_and_found_again_within_five_seconds(died_s: float) -> None:
    back_s = died_s + 20.0
    seen = observe(EIGHT, 50.0, faults=[f"silence:p3@{died_s * 1000:g}ms+20s"])
    healthy, without = good_polls(seen, 0.0, 20.0), good_polls(seen, died_s, back_s)
    assert healthy > 1000
    assert without >= 0.9 * healthy
    asked_later = [each for each in seen.of("p3", start_s=died_s) if each.time_s > died_s]
    assert (asked_later[0].quality, asked_later[0].reason) == (Quality.BAD, Reason.TIMEOUT)
    assert seen.good("p3", start_s=died_s + 1.0, end_s=back_s) == []
    assert seen.good("p3", start_s=back_s)[0].time_s < back_s + 5.0
    assert seen.untrue == []


@pytest.mark.parametrize("fault", ["silence", "late,delay=600ms", "crc", "truncate", "foreign", "exception"])
def test_one_bad_transducer_harms_no_other(fault: str) -> None:
    kind, comma, parameters = fault.partition(",")
    rested = rig({"kind": "serial", "baud": 19200}, described("500 ms"))
    seen = observe(rested, 40.0, faults=[f"{kind}:p3@10s{comma}{parameters}"])
    for unit in (1, 2, 4, 5, 6, 7, 8):
        polls, good = (get(f"p{unit}", start_s=11.0) for get in (seen.of, seen.good))
        assert len(polls) >= 55
        assert len(good) >= 0.95 * len(polls)
    named = seen.health()["buses"]["b"]["units"]["3"]["attempts"]
    assert sum(number for outcome, number in named.items() if outcome != "reply") >= 5
    assert seen.good("p3", start_s=14.0) == []


@pytest.mark.parametrize("kind", ["serial", "modbus-tcp"])
def test_each_attempt_ends_in_exactly_one_outcome_and_health_tells_them_by_unit(kind: str) -> None:
    pressure = {"pressure": {"address": 0, "unit": "kPa"}}
    mapped = {"model": "modbus-map", "poll": "250 ms", "map": pressure}
    two = rig(
        {"kind": kind, "baud": 19200},
        {"p1": {**mapped, "unit": 1, "segment": FALLING}, "p2": {**mapped, "unit": 2, "segment": RISING}},
    )
    damage = "crc" if kind == "serial" else "function"
    faults = ["silence:p1@5%", "late:p1@5%,delay=300ms", "foreign:p1@5%", "exception:p1@5%", f"{damage}:p1@5%"]
    seen = observe(two, 33.0, faults=faults)
    at_s, health = seen.on("gw/pi1/health")[-1]
    jsonschema.validate(health, schema("health"))
    units = health["buses"]["b"]["units"]
    for unit, address in (("1", 1), ("2", 2)):
        asked = [
            record
            for record in seen.trace.records
            if record.talker == "host"
            and record.t_ns <= at_s * 1e9
            and record.data[0 if kind == "serial" else 6] == address
        ]
        in_flight = len(asked) - sum(units[unit]["attempts"].values())
        assert 0 <= in_flight <= 1
        assert units[unit]["line_s"] > 0
        assert 0 < units[unit]["round_trip_mean_s"] <= units[unit]["round_trip_longest_s"]
    assert units["2"]["attempts"].keys() == {"reply"}
    told = {"reply", "exception", "timeout", "foreign"} | ({"crc"} if kind == "serial" else set())
    assert told <= units["1"]["attempts"].keys()
    assert 0 < health["buses"]["b"]["line_use"] < 1


def test_an_unplugged_bus_is_told_at_once_and_polled_again_when_it_is_back() -> None:
    seen = observe(TWO, 30.0, faults=["unplug:b@10s+5s"])
    for name in ("p1", "p2"):
        gone = seen.of(name, start_s=10.0, end_s=15.0)
        assert len(gone) >= 15
        assert {(each.quality, each.reason) for each in gone} == {(Quality.BAD, Reason.BUS_DOWN)}
        assert {each.quality for each in seen.of(name, start_s=20.0)} == {Quality.GOOD}
    assert seen.health()["buses"]["b"]["connects"] == 2
    assert seen.untrue == []


def own_topic(seen: Observed, name: str) -> list[tuple[float, dict[str, Any]]]:
    return seen.on(f"seg/{FALLING if name == 'p1' else RISING}/pressure/{name}")


def test_a_silent_transducer_is_bad_on_its_own_topic_within_a_poll() -> None:
    seen = observe(TWO, 30.0, faults=["silence:p1@10s+10s"])
    silent = [payload for at_s, payload in own_topic(seen, "p1") if 10.4 < at_s < 20.0]
    assert silent
    assert {(each["value"], each["quality"], each["reason"]) for each in silent} == {(None, "bad", "timeout")}
    first = next(at_s for at_s, payload in own_topic(seen, "p1") if at_s > 10.0 and payload["quality"] == "bad")
    assert first < 10.4
    assert own_topic(seen, "p1")[-1][1]["quality"] == "good"
    assert {payload["quality"] for _, payload in own_topic(seen, "p2")} == {"good"}


def test_a_value_without_a_successor_becomes_stale_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that never comes back is a bug that nobody foresaw; its last value must not stay good."""
    poll = Keller33x.poll
    polls = {"p1": 0, "p2": 0}

    async def hang(driver: Keller33x, ask: Any) -> Any:
        name = driver.channels[0].transducer
        polls[name] += 1
        if polls[name] > 40:
            await asyncio.get_running_loop().create_future()
        return await poll(driver, ask)

    monkeypatch.setattr(Keller33x, "poll", hang)
    seen = observe(TWO, 30.0)
    for name in ("p1", "p2"):
        readings = seen.of(name)
        at_s, last = own_topic(seen, name)[-1]
        assert readings[-1].quality is Quality.GOOD
        assert (last["quality"], last["value"]) == ("stale", pytest.approx(readings[-1].value))
        assert 3.0 <= at_s - readings[-1].time_s <= 4.0
        assert last["t"] == round((1_700_000_000 + readings[-1].time_s) * 1000)


def test_units_are_served_in_turn_when_the_line_is_full() -> None:
    seen = observe(EIGHT, 20.0)
    order = [record.data[0] for record in seen.trace.records if record.talker == "host" and record.t_ns > 2e9]
    rounds: list[Reading] = [each for _, each in seen.readings if each.channel.quantity == "pressure"]
    assert len(rounds) > 900
    counts = [order.count(unit) for unit in range(1, 9)]
    assert max(counts) - min(counts) <= 1
