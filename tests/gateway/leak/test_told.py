"""Findings in words: what a tired engineer reads."""

import pytest

from gateway.leak.bodies import AirBody
from gateway.leak.finding import BodyFinding, Kind, StationFinding
from gateway.leak.reserve import Reserve
from gateway.leak.told import body_in_words, duration, loss_in_words


def found(*segments, kind=Kind.LEAK, rate=1.13, ends=(1.10, 1.16), **words):
    per_day = 1 / 86_400
    return BodyFinding(
        body=AirBody(segments=segments, volume_m3=6.0, volume_relative_sigma=0.0),
        kind=kind,
        slope_pa_per_s=0.16,
        rate_kg_per_s=None if rate is None else rate * per_day,
        rate_ci95_kg_per_s=None if rate is None else (ends[0] * per_day, ends[1] * per_day),
        **words,
    )


def test_a_named_leak_with_its_reserve():
    reserve = Reserve(to_pa=66_700.0, exponential_s=183_840.0, linear_s=0.0, fast_s=183_300.0, slow_s=0.0)
    finding = StationFinding(time_s=0.0, bodies=(found("prk", reserve=reserve),), where={"prk": 0.995, "zvezda": 0.005})
    assert loss_in_words(finding) == (
        "prk loses air, 1.13 kg/day (95 %: 1.1 to 1.16), 51 h or more to 66.7 kPa. It is in prk"
    )


def test_several_segments_and_what_to_close():
    finding = StationFinding(
        time_s=0.0, bodies=(found("a", "b", "c", "d", "e"),), where={"a": 0.6, "b": 0.4}, next_hatch="a--b"
    )
    assert loss_in_words(finding) == (
        "a, b, c and 2 more lose air, 1.13 kg/day (95 %: 1.1 to 1.16). Likeliest in a (60%); close a--b to know more"
    )


def test_after_a_hatch_change_a_leak_is_not_forgotten():
    finding = StationFinding(time_s=0.0, bodies=(found("a", kind=Kind.COLLECTING),), where={})
    assert loss_in_words(finding) == "a leak that was found before the last hatch change"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"rate": 0.1, "ends": (-0.2, 0.4)}, "prk: loses air, rate not told apart from zero yet (0.1 kg/day)"),
        ({"rate": None}, "prk: loses air, 4.32 mmHg/h (a volume is missing for kg/day)"),
        ({"kind": Kind.GAIN, "rate": -5.0, "ends": (-6.0, -4.0)}, "prk: gains air, 5 kg/day (95 %: 4 to 6)"),
    ],
)
def test_what_is_not_known_is_said(words, text):
    assert body_in_words(found("prk", **words)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(9, "9 s"), (100, "2 min"), (7199, "120 min"), (7200, "2 h"), (864_000, "10 d")]
)
def test_times_as_people_say_them(seconds, text):
    assert duration(seconds) == text
