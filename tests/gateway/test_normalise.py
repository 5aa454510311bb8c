"""From raw polls to graded readings."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Channel, Quality, RawPoll, Readings, Reason
from drivers.rig import Transducer
from drivers.units import UNITS
from gateway.normalise import Normaliser

NOON_MS = int(dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC).timestamp() * 1000)
CHANNELS = (
    Channel(transducer="p1", quantity="pressure", unit=UNITS["bar"]),
    Channel(transducer="p1", quantity="temperature", unit=UNITS["C"]),
)


def words(**more: object) -> dict[str, Transducer]:
    table = {"model": "keller-33x", "bus": "b", "segment": "s", "range": "0..160 kPa"} | more
    return {"p1": Transducer.model_validate(table)}


def poll(bar: float, celsius: float = 20.0, *, at_s: float = 0.0, reason: Reason = Reason.NONE) -> RawPoll:
    return RawPoll(
        channels=CHANNELS,
        values=np.array([bar, celsius]),
        reasons=np.full(2, reason, dtype=np.uint8),
        time_s=at_s,
        uncertainty_s=0.002,
    )


def graded(readings: Readings) -> list[tuple[str, str | None]]:
    return [(reading.quality.word, reading.reason.word) for reading in readings]


def test_a_good_poll_becomes_pascal_and_kelvin() -> None:
    readings = Normaliser(CHANNELS, words())(poll(1.01325, 21.0, at_s=7.5), now_ms=NOON_MS)
    assert readings.values.tolist() == pytest.approx([101_325.0, 294.15])
    assert graded(readings) == [("good", None), ("good", None)]
    assert (readings.time_s, readings.uncertainty_s, readings.raw.tolist()) == (7.5, 0.002, [1.01325, 21.0])


def test_calibration_moves_pressure_and_leaves_temperature() -> None:
    calibrated = words(calibration={"offset": "12 Pa", "gain": 1.001})
    readings = Normaliser(CHANNELS, calibrated)(poll(1.0, 20.0), now_ms=NOON_MS)
    assert readings.values.tolist() == pytest.approx([100_112.0, 293.15])


@pytest.mark.parametrize(("bar", "reason"), [(1.8, "out_of_range"), (-0.2, "out_of_range"), (1.7, None), (-0.1, None)])
def test_a_value_beyond_the_range_and_its_margin_is_bad(bar: float, reason: str | None) -> None:
    readings = Normaliser(CHANNELS, words())(poll(bar), now_ms=NOON_MS)
    assert graded(readings)[0] == ("bad" if reason else "good", reason)


def test_no_value_is_bad_even_when_the_driver_gave_no_reason() -> None:
    readings = Normaliser(CHANNELS, words())(poll(np.nan), now_ms=NOON_MS)
    assert graded(readings) == [("bad", "sensor_failure"), ("good", None)]
    assert next(iter(readings)).value is None


def test_a_value_beyond_the_calibration_table_is_out_of_range() -> None:
    calibrated = words(calibration={"table": [["0 Pa", "5 Pa"], ["100 kPa", "100 kPa"]]})
    readings = Normaliser(CHANNELS, calibrated)(poll(1.2), now_ms=NOON_MS)
    assert graded(readings) == [("bad", "out_of_range"), ("good", None)]


def test_the_drivers_own_reason_stands() -> None:
    readings = Normaliser(CHANNELS, words())(poll(9.0, reason=Reason.WARMING_UP), now_ms=NOON_MS)
    assert graded(readings) == [("uncertain", "warming_up")] * 2


def test_a_jump_faster_than_allowed_is_a_spike_and_the_next_value_is_judged_against_it() -> None:
    normalise = Normaliser(CHANNELS, words(max_rate="1 kPa/s"))
    bars = [1.0, 1.005, 1.1, 1.1]
    reasons = [graded(normalise(poll(bar, at_s=at_s), now_ms=NOON_MS))[0][1] for at_s, bar in enumerate(bars)]
    assert reasons == [None, None, "spike", None]


def test_silence_does_not_make_a_slow_change_a_spike() -> None:
    normalise = Normaliser(CHANNELS, words(max_rate="1 kPa/s"))
    normalise(poll(1.0, at_s=0.0), now_ms=NOON_MS)
    normalise(RawPoll.nothing(CHANNELS, Reason.TIMEOUT, 1.0), now_ms=NOON_MS)
    assert graded(normalise(poll(1.09, at_s=10.0), now_ms=NOON_MS))[0] == ("good", None)


def test_the_same_raw_value_for_too_long_is_frozen_until_it_moves() -> None:
    normalise = Normaliser(CHANNELS, words(frozen_after="3 s"))
    history = [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.00001)]
    reasons = [graded(normalise(poll(bar, 20 + at_s, at_s=at_s), now_ms=NOON_MS))[0][1] for at_s, bar in history]
    assert reasons == [None, None, None, "frozen", "frozen", None]


def test_an_overdue_calibration_lowers_the_quality_from_the_day_after() -> None:
    normalise = Normaliser(CHANNELS, words(calibration={"date": dt.date(2025, 6, 1), "due": dt.date(2026, 6, 1)}))
    assert graded(normalise(poll(1.0), now_ms=NOON_MS))[0] == ("good", None)
    assert graded(normalise(poll(1.0), now_ms=NOON_MS + 86_400_000))[0] == ("uncertain", "calibration_overdue")


@given(bar=st.floats(allow_nan=True, allow_infinity=True), reason=st.sampled_from(Reason))
def test_good_always_has_a_finite_value_within_the_range_and_no_reason(bar: float, reason: Reason) -> None:
    readings = Normaliser(CHANNELS, words())(poll(bar, reason=reason), now_ms=NOON_MS)
    first = next(iter(readings))
    if first.quality is Quality.GOOD:
        assert first.reason is Reason.NONE
        assert first.value is not None
        assert -16_000.0 <= first.value <= 176_000.0
