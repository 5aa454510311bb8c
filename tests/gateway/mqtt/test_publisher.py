"""What the publisher makes of readings: driven by times alone, no loop, no clock."""

import math

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import Rig
from drivers.units import UNITS
from gateway.mqtt.outbox import Outbox
from gateway.mqtt.publisher import Publisher

START_MS = 1_731_980_000_000


class Stamps:
    sync = "ntp"
    step_ms = 0

    def utc_ms(self, time_s):
        return START_MS + round(time_s * 1000) + self.step_ms


def rig(batch="1 s"):
    unit = {"model": "keller-33x", "bus": "aft"}
    return Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi1"},
            "segment": {"zvezda": {}, "prk": {}},
            "coolant": {"radiator": {"volume": "44 L", "gas_volume": "6 L", "pressure": "304 kPa"}},
            "bus": {"aft": {"kind": "serial", "port": "/dev/null"}},
            "transducer": {
                "p1": {**unit, "segment": "zvezda", "poll": "1 s"},
                "p2": {**unit, "segment": "prk", "poll": "10 s"},
                "c1": {**unit, "unit": 2, "coolant": "radiator"},
            },
            "mqtt": {"batch": batch},
        }
    )


def channels(*names):
    return tuple(
        Channel(transducer=name.split(".")[0], quantity=name.split(".")[1], unit=UNITS["bar"]) for name in names
    )


P1 = channels("p1.pressure", "p1.temperature")
P2 = channels("p2.pressure")
BOTH = channels("p1.pressure", "p2.pressure")


def poll(time_s, values, of=P1, reasons=None):
    reasons = reasons or [Reason.NONE] * len(of)
    quality = [Quality.GOOD if reason is Reason.NONE else Quality.BAD for reason in reasons]
    return Readings(
        channels=of,
        values=np.array(values, dtype=np.float64),
        quality=np.array(quality, dtype=np.uint8),
        reasons=np.array(reasons, dtype=np.uint8),
        raw=np.array(values, dtype=np.float64) / 2,
        time_s=time_s,
        uncertainty_s=0.0021,
    )


class Listening(Outbox):
    """An outbox that remembers in which order messages were put."""

    heard = ()

    def put(self, message):
        self.heard = [*self.heard, message]
        super().put(message)


class Station:
    """A publisher, and all that it has put into the outbox so far."""

    def __init__(self, batch="1 s"):
        self.outbox = Listening(clock=lambda: 0.0)
        self.stamps = Stamps()
        self.publisher = Publisher(rig(batch), self.outbox, self.stamps, "3f9c")
        self.messages = []

    def news(self):
        """(topic's end, payload) of what came since the last call, in the order in which it was put."""
        entries, self.outbox.heard = self.outbox.heard, []
        self.messages += entries
        return [
            (message.topic.removeprefix("manovac/v1/iss/seg/"), orjson.loads(message.payload)) for message in entries
        ]

    def latest(self):
        return [(topic, payload) for topic, payload in self.news() if not topic.endswith("batch")]

    def batches(self):
        return [(topic, payload) for topic, payload in self.news() if topic.endswith("batch")]


def test_the_first_poll_publishes_each_channels_latest_reading_retained():
    station = Station()
    station.publisher.publish(poll(5.0, [101325.1, 295.15]))
    assert station.news() == [
        (
            "zvezda/pressure/p1",
            {
                "v": 1,
                "gw": "pi1",
                "n": 0,
                "t": START_MS + 5000,
                "u": 3,
                "value": 101325.1,
                "unit": "Pa",
                "quality": "good",
                "reason": None,
                "raw": 50662.55,
            },
        ),
        (
            "zvezda/temperature/p1",
            {
                "v": 1,
                "gw": "pi1",
                "n": 0,
                "t": START_MS + 5000,
                "u": 3,
                "value": 295.15,
                "unit": "K",
                "quality": "good",
                "reason": None,
                "raw": 147.575,
            },
        ),
    ]
    assert [(message.retain, message.qos, message.n) for message in station.messages] == [(True, 1, None)] * 2


@settings(max_examples=50)
@given(st.lists(st.floats(0.01, 2.5), min_size=1, max_size=40))
def test_latest_values_come_at_most_once_a_second(gaps):
    station = Station(batch="1000 s")
    time_s, published = 0.0, []
    for gap in gaps:
        time_s += gap
        station.publisher.publish(poll(time_s, [1.0], of=P2))
        published += [payload["t"] for _, payload in station.latest()]
    assert np.all(np.diff(published) >= 899)
    assert len(published) <= (published[-1] - published[0]) / 1000 + 1.1


def test_a_poll_each_second_that_jitters_is_published_each_second():
    station = Station()
    jitter = [0.0, 0.04, -0.04, 0.03, -0.03, 0.0, 0.04, -0.04]
    for number, shift in enumerate(jitter):
        station.publisher.publish(poll(number + shift, [1.0], of=P2))
        assert len(station.latest()) == 1, f"poll {number}"


def test_a_change_of_quality_is_published_at_once_and_only_that_channels():
    station = Station()
    station.publisher.publish(poll(0.0, [1.0, 2.0]))
    station.latest()
    station.publisher.publish(poll(0.1, [1.0, math.nan], reasons=[Reason.NONE, Reason.TIMEOUT]))
    [(topic, payload)] = station.latest()
    assert topic == "zvezda/temperature/p1"
    assert (payload["value"], payload["quality"], payload["reason"]) == (None, "bad", "timeout")
    station.publisher.publish(poll(0.2, [1.0, math.nan], reasons=[Reason.NONE, Reason.TIMEOUT]))
    assert station.latest() == []
    station.publisher.publish(poll(0.3, [1.0, 2.0]))
    assert [topic for topic, _ in station.latest()] == ["zvezda/temperature/p1"]


def test_a_batch_holds_every_reading_of_its_segment_since_the_last():
    station = Station()
    for number in range(10):
        station.publisher.publish(poll(number / 4, [100.0 + number, 290.0]))
        if number % 4 == 0:
            station.publisher.publish(poll(number / 4 + 0.01, [7.0], of=P2))
    station.publisher.expire(2.26)
    station.publisher.flush()
    zvezda = [payload for topic, payload in station.batches() if topic == "zvezda/batch"]
    assert [payload["channels"]["p1.pressure"]["dt"] for payload in zvezda] == [
        [0, 250, 500, 750, 1000],
        [0, 250, 500, 750],
        [0],
    ]
    assert [payload["t0"] - START_MS for payload in zvezda] == [0, 1250, 2250]
    values = [value for payload in zvezda for value in payload["channels"]["p1.pressure"]["value"]]
    assert values == [100.0 + number for number in range(10)]
    assert zvezda[0]["channels"]["p1.temperature"] == {
        "dt": [0, 250, 500, 750, 1000],
        "value": [290.0] * 5,
        "quality": "good",
        "reason": None,
    }
    assert (zvezda[0]["boot"], zvezda[0]["sync"], zvezda[0]["gw"]) == ("3f9c", "ntp", "pi1")


def test_units_of_one_segment_share_a_batch_with_offsets_from_the_earliest():
    station = Station()
    other = channels("p1.temperature")
    station.publisher.publish(poll(0.5, [1.0], of=channels("p1.pressure")))
    station.publisher.publish(poll(0.4, [2.0], of=other))
    station.publisher.flush()
    [(_, payload)] = station.batches()
    assert payload["t0"] == START_MS + 400
    assert {name: column["dt"] for name, column in payload["channels"].items()} == {
        "p1.pressure": [100],
        "p1.temperature": [0],
    }


def test_the_channels_of_one_unit_go_to_their_own_segments():
    station = Station()
    station.publisher.publish(poll(0.0, [1.0, 2.0], of=BOTH))
    station.publisher.flush()
    news = station.news()
    assert [topic for topic, _ in news] == ["zvezda/pressure/p1", "prk/pressure/p2", "zvezda/batch", "prk/batch"]
    assert [list(payload["channels"]) for _, payload in news[2:]] == [["p1.pressure"], ["p2.pressure"]]


def test_a_coolant_loop_has_the_topics_of_a_segment():
    station = Station()
    station.publisher.publish(poll(0.0, [3.04e5, 295.0], of=channels("c1.pressure", "c1.temperature")))
    station.publisher.flush()
    topics = [topic for topic, _ in station.news()]
    assert topics == ["radiator/pressure/c1", "radiator/temperature/c1", "radiator/batch"]


def test_batch_of_0_s_is_each_poll_at_once_even_when_polls_overlap_in_time():
    station = Station(batch="0 s")
    for time_s, of in ((0.0, P1), (0.1, P2), (0.05, P1)):
        station.publisher.publish(poll(time_s, [1.0] * len(of), of=of))
        [(_, payload)] = station.batches()
        assert payload["t0"] == START_MS + round(time_s * 1000)
    assert station.publisher.expire(0.2) <= 3.2


def test_a_batch_never_grows_beyond_what_a_broker_takes():
    station = Station(batch="1000 s")
    for number in range(4000):
        mixed = [Reason.NONE, Reason.CALIBRATION_OVERDUE] if number % 2 else [Reason.IDENTITY_MISMATCH, Reason.NONE]
        station.publisher.publish(poll(number / 100, [101325.12345678901, 295.12345678901234], reasons=mixed))
    station.publisher.flush()
    batches = station.batches()
    assert sum(len(payload["channels"]["p1.pressure"]["dt"]) for _, payload in batches) == 4000
    assert max(len(message.payload) for message in station.messages) < 250_000


def test_a_batch_of_very_many_channels_does_not_either():
    words = rig("1000 s")
    first = words.transducers["p1"]
    many = {f"a_pressure_transducer_with_a_long_name_{unit}": first for unit in range(3000)}
    station = Station()
    station.publisher = Publisher(
        words.model_copy(update={"transducers": many}), station.outbox, station.stamps, "3f9c"
    )
    for name in many:
        station.publisher.publish(poll(0.0, [101325.12345678901], of=channels(f"{name}.pressure")))
    station.publisher.flush()
    batches = station.batches()
    assert sum(len(payload["channels"]) for _, payload in batches) == 3000
    assert max(len(message.payload) for message in station.messages) < 250_000


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([P1, P2]), st.floats(0, 0.7), st.booleans()), max_size=60))
def test_nothing_is_lost_or_doubled_between_batches_and_numbers_have_no_gap(steps):
    station = Station()
    time_s, sent = 0.0, {"p1.pressure": [], "p1.temperature": [], "p2.pressure": []}
    for number, (of, gap, timer) in enumerate(steps):
        time_s += gap
        station.publisher.publish(poll(time_s, [float(number)] * len(of), of=of))
        for channel in of:
            sent[channel.id].append(float(number))
        if timer:
            assert station.publisher.expire(time_s) > time_s
    station.publisher.flush()
    got = {name: [] for name in sent}
    for _, payload in station.batches():
        for name, column in payload["channels"].items():
            got[name] += column["value"]
            assert min(column["dt"]) >= 0
    assert got == sent
    numbers = [message.n for message in station.messages if message.n is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    newest = 0
    for message in station.messages:
        newest = message.n or newest
        assert orjson.loads(message.payload)["n"] == newest, "a latest value says how far the record had come"


def test_a_step_of_utc_bends_no_offset():
    station = Station()
    station.publisher.publish(poll(0.0, [1.0], of=P2))
    station.stamps.step_ms = 3_600_000
    station.publisher.publish(poll(0.5, [2.0], of=P2))
    station.publisher.flush()
    [(_, payload)] = station.batches()
    assert payload["channels"]["p2.pressure"]["dt"] == [0, 500]


def test_a_channel_without_new_readings_becomes_stale_once_with_its_last_value_and_time():
    station = Station()
    station.publisher.publish(poll(10.0, [101325.0, 295.0]))
    station.news()
    assert station.publisher.expire(11.0) == 12.0, "the next batch"
    assert station.latest() == []
    assert station.publisher.expire(12.999) == 13.0, "3 s after the last reading"
    assert station.latest() == []
    assert station.publisher.expire(13.0) > 13.0
    stale = station.latest()
    assert [topic for topic, _ in stale] == ["zvezda/pressure/p1", "zvezda/temperature/p1"]
    payload = stale[0][1]
    assert (payload["value"], payload["quality"], payload["reason"]) == (101325.0, "stale", None)
    assert payload["t"] == START_MS + 10_000
    station.publisher.expire(20.0)
    assert station.latest() == []


def test_staleness_is_three_polls_of_each_transducer():
    station = Station()
    station.publisher.publish(poll(0.0, [1.0, 2.0], of=BOTH))
    station.news()
    station.publisher.expire(3.0)
    assert [(topic, payload["quality"]) for topic, payload in station.latest()] == [("zvezda/pressure/p1", "stale")]
    station.publisher.expire(29.9)
    assert station.latest() == []
    station.publisher.expire(30.0)
    assert [topic for topic, _ in station.latest()] == ["prk/pressure/p2"]


def test_a_new_reading_after_stale_is_published_at_once():
    station = Station()
    station.publisher.publish(poll(0.0, [1.0], of=channels("p1.pressure")))
    station.publisher.publish(poll(1.0, [1.0], of=channels("p1.pressure")))
    station.publisher.expire(4.0)
    station.latest()
    station.publisher.publish(poll(4.05, [2.0], of=channels("p1.pressure")))
    [(_, payload)] = station.latest()
    assert (payload["value"], payload["quality"]) == (2.0, "good")


def test_a_unit_whose_channels_change_loses_nothing():
    station = Station(batch="1000 s")
    station.publisher.publish(poll(0.0, [1.0, 2.0]))
    station.publisher.publish(poll(0.5, [3.0], of=channels("p1.pressure")))
    station.publisher.flush()
    assert [payload["channels"].keys() for _, payload in station.batches()] == [
        {"p1.pressure", "p1.temperature"},
        {"p1.pressure"},
    ]


def test_two_units_whose_channels_become_one_units_lose_nothing_and_are_forgotten():
    station = Station(batch="1000 s")
    station.publisher.publish(poll(0.0, [1.0, 2.0]))
    station.publisher.publish(poll(0.1, [3.0], of=P2))
    station.publisher.publish(poll(0.5, [4.0, 5.0], of=BOTH))
    station.publisher.flush()
    sizes = [len(payload["channels"]) for _, payload in station.batches()]
    assert sorted(sizes) == [1, 1, 1, 2]
    station.publisher.expire(100.0)
    assert {topic for topic, payload in station.latest() if payload["quality"] == "stale"} == {
        "zvezda/pressure/p1", "prk/pressure/p2",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 50])
def test_one_message_a_segment_however_many_polls(count):
    station = Station(batch="1000 s")
    for number in range(count):
        station.publisher.publish(poll(number / 1000, [1.0], of=P2))
    station.publisher.flush()
    assert len(station.batches()) == 1
