"""Commands by MQTT, `cmd/<gateway>/<name>`, and their answers, `rsp/<gateway>/<id>`: validated, obeyed, answered.

`hatch` tells the state of a hatch, `event` of a repress, an airlock cycle or a docking, `acknowledge` that somebody has
seen an alarm, `replay` asks for numbers of record again. A command carries an id of its sender's choice, which names
the topic of the answer; one without a usable id cannot be answered and is logged.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import orjson

from drivers.rig import HatchState
from gateway.alarms import Alarm
from gateway.leak.event import Event
from gateway.mqtt.outbox import Message
from gateway.mqtt.payloads import VERSION
from gateway.mqtt.topics import Topics

_log: Final = logging.getLogger(__name__)
_LONGEST: Final = 4096  # bytes of a command
_LONGEST_ID: Final = 64
MOST_KG: Final = 1e5  # of an event
MOST_S: Final = 86_400.0
_ID: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


class Station(Protocol):
    """What commands can change: `gateway.app.Gateway`."""

    def move_hatch(self, hatch: str, state: HatchState, /) -> None:
        """Take a word for the state of a hatch."""
        ...

    def expect(self, event: Event, segment: str, /, *, lasts_s: float, mass_kg: float | None) -> None:
        """Take a word for what is done to the air of a segment from now on."""
        ...

    def acknowledge(self, alarm_id: str, /) -> Alarm:
        """Note that somebody has seen an alarm."""
        ...

    def replay(self, first: int, last: int, /) -> None:
        """Deliver messages of record again.

        Raises:
            LookupError: there is none of these numbers.
        """
        ...


class _RefusedError(ValueError):
    """A command that cannot be obeyed; the message is for its sender."""


def hatch(*, command_id: str, hatch_id: str, state: HatchState) -> bytes:
    """Build the command that tells the state of a hatch."""
    return orjson.dumps({"v": VERSION, "id": command_id, "hatch": hatch_id, "state": state.value})


def event(*, command_id: str, kind: Event, segment: str, lasts_s: float, mass_kg: float | None = None) -> bytes:
    """Build the command that tells of an event that begins now, and how long it lasts; a repress may be metered."""
    words = {"v": VERSION, "id": command_id, "kind": kind.value, "segment": segment}
    return orjson.dumps(words | {"lasts_s": lasts_s, "mass_kg": mass_kg})


def acknowledge(*, command_id: str, alarm_id: str) -> bytes:
    """Build the command that acknowledges an alarm."""
    return orjson.dumps({"v": VERSION, "id": command_id, "alarm": alarm_id})


def replay(*, command_id: str, first: int, last: int) -> bytes:
    """Build the command that asks for the numbers from first to last again."""
    return orjson.dumps({"v": VERSION, "id": command_id, "first": first, "last": last})


def acknowledged(n: int) -> bytes:
    """Build what a consumer says of a gateway's record: everything up to that number is stored."""
    return orjson.dumps({"v": VERSION, "n": n})


def response(*, command_id: str, t_ms: int, problem: str | None) -> bytes:
    """Build the answer to a command: obeyed, or refused for that problem."""
    return orjson.dumps({"v": VERSION, "id": command_id, "t": t_ms, "ok": problem is None, "problem": problem})


def obey(topic: str, payload: bytes, station: Station, *, topics: Topics, t_ms: int) -> Message | None:
    """Obey a command and return its answer; None when it cannot be answered."""
    name = topic.removeprefix(topics.command(""))
    try:
        words = _words(payload)
    except _RefusedError as error:
        _log.warning("command %s is not obeyed: %s", name, error)
        return None
    problem = None
    try:
        _KINDS.get(name, _unknown)(words, station)
    except (_RefusedError, LookupError) as error:
        problem = str(error.args[0])
    _log.info("command %s %s: %s", name, words["id"], problem or "obeyed")
    answer = response(command_id=words["id"], t_ms=t_ms, problem=problem)
    return Message(topic=topics.response(words["id"]), payload=answer)


def _words(payload: bytes) -> dict[str, Any]:
    if len(payload) > _LONGEST:
        raise _RefusedError(f"{len(payload)} bytes are more than {_LONGEST}")
    try:
        words = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise _RefusedError(f"it is not JSON: {error}") from None
    command_id = words.get("id") if isinstance(words, dict) else None
    if not isinstance(command_id, str) or not 0 < len(command_id) <= _LONGEST_ID or not set(command_id) <= _ID:
        raise _RefusedError(f"it needs an id of up to {_LONGEST_ID} small letters, digits, '_' and '-'")
    return dict(words)


def _expect(words: Mapping[str, Any], numbers: Collection[str] = (), **kinds: tuple[str, ...]) -> list[str]:
    """Return the texts of a command, one for each keyword; its values are what the text may be, empty for anything.

    `numbers` are what it may have beside them.
    """
    if words.get("v") != VERSION:
        raise _RefusedError(f"v must be {VERSION}")
    known = ("v", "id", *kinds, *numbers)
    if strange := sorted(set(words) - set(known)):
        raise _RefusedError(f"unknown key '{strange[0]}' (known: {', '.join(known)})")
    texts = []
    for key, allowed in kinds.items():
        text = words.get(key)
        if not isinstance(text, str) or (allowed and text not in allowed):
            raise _RefusedError(f"{key} must be {' or '.join(allowed) if allowed else 'a text'}")
        texts.append(text)
    return texts


def _number(words: Mapping[str, Any], key: str, most: float) -> float:
    """Return a number above 0."""
    number = words.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= most:
        raise _RefusedError(f"{key} must be a number above 0, up to {most:g}")
    return float(number)


def _hatch(words: Mapping[str, Any], station: Station) -> None:
    hatch_id, state = _expect(words, hatch=(), state=tuple(each.value for each in HatchState))
    station.move_hatch(hatch_id, HatchState(state))


def _event(words: Mapping[str, Any], station: Station) -> None:
    kinds = tuple(each.value for each in Event)
    kind, segment = _expect(words, ("lasts_s", "mass_kg"), kind=kinds, segment=())
    lasts_s = _number(words, "lasts_s", MOST_S)
    mass_kg = None if words.get("mass_kg") is None else _number(words, "mass_kg", MOST_KG)
    if mass_kg is not None and kind != Event.REPRESS:
        raise _RefusedError(f"mass_kg goes with {Event.REPRESS.value} only")
    station.expect(Event(kind), segment, lasts_s=lasts_s, mass_kg=mass_kg)


def _acknowledge(words: Mapping[str, Any], station: Station) -> None:
    (alarm_id,) = _expect(words, alarm=())
    station.acknowledge(alarm_id)


def _replay(words: Mapping[str, Any], station: Station) -> None:
    numbers = [words.get(key) for key in ("first", "last")]
    _expect(words, numbers=("first", "last"))
    first, last = (number if type(number) is int else 0 for number in numbers)
    if not 1 <= first <= last:
        raise _RefusedError("first and last must be whole numbers from 1 on, last not before first")
    station.replay(first, last)


def _unknown(words: Mapping[str, Any], station: Station) -> None:  # noqa: ARG001 - as all of them
    raise _RefusedError(f"no such command (there are: {', '.join(_KINDS)})")


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any], Station], None]]] = {
    "hatch": _hatch,
    "event": _event,
    "acknowledge": _acknowledge,
    "replay": _replay,
}
