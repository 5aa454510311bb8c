"""What the gateway finds out of readings, as bytes: segment states, hatches, leaks, alarms; pure, as `payloads`."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.alarms import Alarm, AlarmState, Condition, Priority
from gateway.corrections import Correction
from gateway.leak.bodies import AirBody
from gateway.leak.finding import BodyFinding, Kind, StationFinding
from gateway.leak.reserve import Reserve
from gateway.leak.segment_state import SegmentState
from gateway.mqtt.payloads import VERSION

_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3_600.0

UtcMs = Callable[[float], int]
"""Turns a moment of the event loop's clock into ms UTC."""


def state(now: SegmentState, *, gateway: str, n: int, t_ms: int) -> bytes:
    """Build a segment's state.

    Args:
        now: the state.
        gateway: id in the rig file.
        n: the gateway's running number.
        t_ms: when the last usable reading came, ms UTC.
    """
    return orjson.dumps(
        {
            "v": VERSION,
            "gw": gateway,
            "n": n,
            "t": t_ms,
            "pressure": now.pressure_pa,
            "u95": now.u95_pa,
            "temperature": now.temperature_k,
            "used": now.used,
            "rejected": now.rejected,
            "quality": now.quality.word,
        }
    )


def hatch(*, passage: str, source: str, quality: str, t_ms: int) -> bytes:
    """Build a hatch's state.

    Args:
        passage: "open", "closed", "moving" or "unknown".
        source: who says so.
        quality: "stale" when that is a contact which is silent, else "good".
        t_ms: since when, ms UTC.
    """
    return orjson.dumps({"v": VERSION, "state": passage, "source": source, "quality": quality, "t": t_ms})


def leak(finding: StationFinding, utc_ms: UtcMs) -> bytes:
    """Build what is known of the station's leaks."""
    return orjson.dumps(
        {
            "v": VERSION,
            "t": utc_ms(finding.time_s),
            "bodies": [_body(each, utc_ms) for each in finding.bodies],
            "where": finding.where,
            "next_hatch": finding.next_hatch,
        }
    )


def _body(found: BodyFinding, utc_ms: UtcMs) -> dict[str, Any]:
    rate, interval, slope, reserve = (
        found.rate_kg_per_s,
        found.rate_ci95_kg_per_s,
        found.slope_pa_per_s,
        found.reserve,
    )
    return {
        "segments": found.body.segments,
        "rate_kg_per_day": None if rate is None else rate * _DAY_S,
        "ci95": None if interval is None else [end * _DAY_S for end in interval],
        "dpdt_pa_per_h": None if slope is None else -slope * _HOUR_S,
        "class": found.kind.value,
        "since": None if found.since_s is None else utc_ms(found.since_s),
        "reserve_s": None
        if reserve is None
        else {"to_pa": reserve.to_pa, "expected": _seconds(reserve.exponential_s), "fast": _seconds(reserve.fast_s)},
        "notes": found.notes,
    }


def _seconds(value: float) -> float | None:
    return value if value < math.inf else None


def alarm(now: Alarm, *, t_ms: int, utc_ms: UtcMs) -> bytes:
    """Build an alarm as it is at `t_ms` (ms UTC)."""
    condition = now.condition
    return orjson.dumps(
        {
            "v": VERSION,
            "id": condition.id,
            "state": now.state.value,
            "priority": condition.priority.value,
            "t_on": utc_ms(now.on_s),
            "t": t_ms,
            "cause": condition.cause,
            "value": now.value,
            "limit": condition.limit,
            "segment": condition.segment,
            "shelved_until": None if now.shelved_until_s is None else utc_ms(now.shelved_until_s),
        }
    )


def read_alarm(said: Mapping[str, Any], to_s: Callable[[int], float]) -> Alarm:
    """Return the alarm that a payload tells of; all its times are known by the wall clock only.

    Args:
        said: the JSON object.
        to_s: what turns ms UTC into the event loop's clock.

    Raises:
        KeyError, TypeError, ValueError: it is no alarm.
    """
    condition = Condition(
        id=said["id"],
        priority=Priority(said["priority"]),
        cause=said["cause"],
        segment=said["segment"],
        limit=said["limit"],
    )
    until = said.get("shelved_until")
    on_s, changed_s, until_s = to_s(said["t_on"]), to_s(said["t"]), None if until is None else to_s(until)
    return Alarm(
        condition=condition,
        state=AlarmState(said["state"]),
        on_s=on_s,
        changed_s=changed_s,
        value=said["value"],
        shelved_until_s=until_s,
        stamped_s=frozenset({on_s, changed_s} if until_s is None else {on_s, changed_s, until_s}),
    )


def clock(correction: Correction, *, before: str, after: str, step_ms: int, **more: str | int) -> bytes:
    """Build what an event says of the wall clock: its state before and after, its step, and what that corrects.

    Where it corrects an earlier start, `more` is its `boot`; where a start begins, `machine` and `up_ms`.
    """
    words = {
        "before": before,
        "after": after,
        "step_ms": step_ms,
        "since": correction.since,
        "correction_ms": correction.add_ms,
    }
    return orjson.dumps({**words, **more})


def event(kind: str, what: bytes, *, gateway: str, boot: str, n: int, t_ms: int) -> bytes:
    """Build the record of one transition.

    Args:
        kind: the topic's level: "alarm", "command", "clock", "start", "journal", or what somebody told of ("repress",
            "eva", "docking").
        what: what is said of it, a JSON object.
        gateway: id in the rig file.
        boot: id of this start of the gateway.
        n: the gateway's running number.
        t_ms: when, ms UTC.
    """
    return orjson.dumps(
        {"v": VERSION, "gw": gateway, "boot": boot, "n": n, "t": t_ms, "kind": kind, kind: orjson.Fragment(what)}
    )


def happening(*, segment: str, lasts_s: float, mass_kg: float | None, by: str) -> bytes:
    """Build what somebody told of the air of a segment: how long it is disturbed, what is let in if metered."""
    return orjson.dumps({"segment": segment, "lasts_s": lasts_s, "mass_kg": mass_kg, "by": by})


def read_leak(payload: bytes) -> StationFinding:
    """Return what a `leak` payload says, its times in s UTC; volumes are not in it.

    Raises:
        ValueError: it is not such a payload.
    """
    try:
        document = orjson.loads(payload)
        return StationFinding(
            time_s=document["t"] / 1000,
            bodies=tuple(_read_body(each) for each in document["bodies"]),
            where=document["where"],
            next_hatch=document["next_hatch"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a payload of topic leak: {error!r}") from None


def _read_body(body: dict[str, Any]) -> BodyFinding:
    rate, interval, slope, reserve = (body[key] for key in ("rate_kg_per_day", "ci95", "dpdt_pa_per_h", "reserve_s"))
    expected_s, fast_s = (
        (math.inf if reserve[key] is None else reserve[key] for key in ("expected", "fast")) if reserve else (0.0, 0.0)
    )
    return BodyFinding(
        body=AirBody(segments=tuple(body["segments"]), volume_m3=math.nan, volume_relative_sigma=math.nan),
        kind=Kind(body["class"]),
        slope_pa_per_s=None if slope is None else -slope / _HOUR_S,
        rate_kg_per_s=None if rate is None else rate / _DAY_S,
        rate_ci95_kg_per_s=None if interval is None else (interval[0] / _DAY_S, interval[1] / _DAY_S),
        since_s=None if body["since"] is None else body["since"] / 1000,
        reserve=None
        if reserve is None
        else Reserve(
            to_pa=reserve["to_pa"], exponential_s=expected_s, linear_s=math.nan, fast_s=fast_s, slow_s=math.nan
        ),
        notes=tuple(body["notes"]),
    )
