"""The verbs of live control, each a method: the same words do the same in a test, over a socket and in a shell."""

import inspect
import math
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from drivers.rig_problems import did_you_mean
from drivers.units import UnitError, parse_quantity
from firmware_sim import EmulatorError
from firmware_sim.control import ControlError
from firmware_sim.control.paths import deed_to_set, find, look
from firmware_sim.deed_words import read_deed
from firmware_sim.deeds import Deed
from firmware_sim.faults import ArmedFault
from firmware_sim.fleet import Fleet, State
from firmware_sim.physics.world import World

_NS: Final = 1_000_000_000
_SPEEDS: Final = (1e-3, 1e3)
_FARTHEST_S: Final = 3650 * 86_400
_LONGEST_STEP_S: Final = 86_400
_SNAPSHOTS: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_USUAL: Final = "last"
FAULTS: Final = 1000
DEEDS: Final = 10_000
"""Faults in force, and deeds to come, beyond which no more are taken."""
_LONGEST_TEXT: Final = 1000

VERBS: Final[Mapping[str, str]] = {
    "status": "time, speed, buses with their addresses and statistics, transducers, faults, snapshots",
    "get": "the truth at a `path` such as segment.prk.pressure, or below it, in SI units",
    "set": "the quantity at a `path` to a `value` with its unit",
    "do": "a `deed` of a scenario: do = hole, leak, hatch, crew ... with its words; now, or `at` a time to come",
    "faults": "those in force, with their numbers",
    "inject": "put a `fault` in force; its number takes it back",
    "clear": "take back the fault of that `number`, or all",
    "pause": "let time stand still; devices fall silent",
    "resume": "let time go on",
    "step": "pause, then let a `span` such as 100 ms pass at once",
    "speed": "let time pass `factor` times as fast",
    "reboot": "cut the power of a `transducer`'s unit for a moment",
    "snapshot": "keep the state of everything under a `name`",
    "restore": "return to the state of that `name`, and to its time",
    "mark": "leave a `text` in the trace and among the events",
}
"""What can be asked; words in back quotes are arguments."""

_KINDS_OF_VALUE: Final[Mapping[type, tuple[str, tuple[type, ...]]]] = {
    str: ("a text", (str,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    dict: ("an object", (dict,)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Argument:
    name: str
    kind: type
    needed: bool


class Control:
    """Controls a fleet that runs, in the fleet's own thread. Answers are what JSON can write, in SI units.

    Methods raise ControlError when the request is wrong, and another EmulatorError when it cannot be done now.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._states: dict[str, State] = {}

    async def call(self, verb: str, words: Mapping[str, Any]) -> Any:
        """Do what a verb of `VERBS` says; its arguments are the words.

        Raises:
            ControlError: no such verb, or its words are wrong.
            EmulatorError: it cannot be done now.
        """
        if verb not in VERBS:
            raise ControlError(f"no verb '{verb}'{did_you_mean(verb, VERBS)} (known: {', '.join(VERBS)})")
        method = getattr(self, verb)
        _check(verb, method, words)
        try:
            answer = method(**words)
            return await answer if inspect.isawaitable(answer) else answer
        except (LookupError, ValueError) as error:
            raise ControlError(f"{verb}: {error.args[0] if isinstance(error, LookupError) else error}") from None

    def status(self) -> dict[str, Any]:
        """Return what there is and how it goes."""
        fleet = self._fleet
        return {
            "station": fleet.rig.station.id,
            "seed": fleet.rig.emulator.seed,
            "t_ns": fleet.now_ns(),
            "paused": fleet.clock.paused,
            "speed": fleet.clock.speed,
            "buses": {name: self._bus(name) for name in fleet.rig.buses},
            "transducers": {
                name: {"model": words.model, "bus": words.bus, "unit": words.unit, "segment": words.segment}
                for name, words in fleet.rig.transducers.items()
            },
            "faults": len(fleet.faults.armed),
            "snapshots": {name: state.at_ns for name, state in self._states.items()},
        }

    def get(self, path: str = "") -> Any:
        """Return the truth at a path; see `firmware_sim.control.paths`."""
        return find(look(self._world(), self._fleet.rig, self._fleet.now_ns()), path)

    def set(self, path: str, value: str) -> dict[str, Any]:
        """Set the quantity at a path, now; return what it is then (open hatches share a pressure at once)."""
        world, now_ns = self._world(), self._fleet.now_ns()
        self._happen(read_deed(deed_to_set(world, self._fleet.rig, path, value, now_ns)), now_ns)
        return {"path": path, "value": self.get(path)}

    def do(self, deed: dict[str, Any]) -> dict[str, Any]:
        """Let a deed happen, now or `at` a time to come."""
        now_ns, words = self._fleet.now_ns(), read_deed(deed)
        at_ns = round(words.at * _NS) if "at" in deed else now_ns
        if at_ns < now_ns:
            raise ControlError(f"at {deed['at']} is over: it is {now_ns / _NS:.3f} s; leave `at` out for now")
        if at_ns > now_ns + _FARTHEST_S * _NS:
            raise ControlError(f"at {deed['at']} is too far ahead: at most {_FARTHEST_S / 86_400:g} d")
        self._happen(words, at_ns)
        return {"do": words.do, "t_ns": at_ns}

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults in force."""
        return [self._fault(armed) for armed in self._fleet.faults.armed]

    def inject(self, fault: str) -> dict[str, Any]:
        """Put a fault in force."""
        if len(self._fleet.faults.armed) >= FAULTS:
            raise EmulatorError(f"{FAULTS} faults are in force already, those that are over too: clear some")
        self._fleet.faults.inject(fault)
        return self._fault(self._fleet.faults.armed[-1])

    def clear(self, number: int | None = None) -> dict[str, Any]:
        """Take a fault back, or all."""
        faults = self._fleet.faults
        gone = [armed.number for armed in faults.armed] if number is None else [number]
        if number is None:
            faults.clear()
        else:
            faults.clear_number(number)
        return {"cleared": gone}

    def pause(self) -> dict[str, Any]:
        """Let time stand still."""
        self._fleet.clock.pause()
        return self._told("paused")

    def resume(self) -> dict[str, Any]:
        """Let time go on."""
        self._fleet.clock.resume()
        return self._told("resumed")

    async def step(self, span: str) -> dict[str, Any]:
        """Pause, and let that much time pass at once."""
        try:
            span_s = parse_quantity(span, "time")
        except UnitError as error:
            raise ControlError(f"'{span}': {error}") from None
        if span_s < 0:
            raise ControlError(f"'{span}': time does not go back; restore a snapshot")
        if span_s > _LONGEST_STEP_S:
            raise ControlError(f"'{span}' is too long for one step: at most {_LONGEST_STEP_S / 86_400:g} d, then again")
        await self._fleet.clock.step(round(span_s * _NS))
        return self._told("stepped", span_s=span_s)

    def speed(self, factor: float) -> dict[str, Any]:
        """Let time pass so many times as fast as real time."""
        low, high = _SPEEDS
        if not low <= factor <= high:
            raise ControlError(f"{factor:g} is not within {low:g}..{high:g}; to stop, pause")
        self._fleet.clock.set_speed(factor)
        return self._told("speed", speed=factor)

    def reboot(self, transducer: str) -> dict[str, Any]:
        """Cut the power of a transducer's unit for a moment."""
        known = self._fleet.rig.transducers
        if transducer not in known:
            hint = did_you_mean(transducer, known)
            raise ControlError(f"no transducer '{transducer}'{hint} (known: {', '.join(known)})")
        bus, unit = self._fleet.reboot(transducer)
        return {"bus": bus, "unit": unit, "t_ns": self._fleet.now_ns()}

    def snapshot(self, name: str = _USUAL) -> dict[str, Any]:
        """Keep the state of everything; a former one of that name is forgotten."""
        if _NAME.fullmatch(name) is None:
            raise ControlError(f"'{name}' is no name: write up to 64 letters, digits, _, . or -")
        if name not in self._states and len(self._states) >= _SNAPSHOTS:
            raise ControlError(f"{_SNAPSHOTS} snapshots are kept already: use one of {', '.join(self._states)} again")
        state = self._states[name] = self._fleet.snapshot()
        return {**self._told("snapshot", name=name), "t_ns": state.at_ns}

    def restore(self, name: str = _USUAL) -> dict[str, Any]:
        """Return to a state that was kept."""
        if name not in self._states:
            known = ", ".join(self._states) or "none"
            raise ControlError(f"no snapshot '{name}'{did_you_mean(name, self._states)} (known: {known})")
        state = self._states[name]
        self._fleet.restore(state)
        return {**self._told("restored", name=name), "t_ns": state.at_ns}

    def mark(self, text: str) -> dict[str, Any]:
        """Leave a remark."""
        if not text.isprintable() or not 0 < len(text) <= _LONGEST_TEXT:
            raise ControlError(f"a remark is one line of 1 to {_LONGEST_TEXT} printable characters")
        self._fleet.mark(text)
        return {"t_ns": self._fleet.now_ns()}

    def expect(self, deed: Deed) -> None:
        """Tell of a deed, which somebody else lets happen, when its time has come."""
        self._fleet.events.tell_at(round(deed.at * _NS), "deed", do=deed.do, words=_words_of(deed))

    def _happen(self, deed: Deed, at_ns: int) -> None:
        if at_ns > self._fleet.now_ns() and len(self._fleet.events.agenda) >= DEEDS:
            raise EmulatorError(f"{DEEDS} deeds are to come already: let some happen first")
        deed.happen(self._world(), at_ns)
        if at_ns <= self._fleet.now_ns():
            self._fleet.events.tell("deed", do=deed.do, words=_words_of(deed))
        else:
            self._fleet.events.tell_at(at_ns, "deed", do=deed.do, words=_words_of(deed))
            self._fleet.events.set_alarm()

    def _told(self, kind: str, **words: Any) -> dict[str, Any]:
        self._fleet.events.tell(kind, **words)
        return {**words, "t_ns": self._fleet.now_ns()}

    def _world(self) -> World:
        world = self._fleet.world
        if not isinstance(world, World):
            raise EmulatorError("the air of this rig is not the emulator's own: there is nothing to get, set or do")
        return world

    def _fault(self, armed: ArmedFault) -> dict[str, Any]:
        now_ns = self._fleet.now_ns()
        state = "lasts" if armed.lasts(now_ns) else "waits" if now_ns < armed.begin_ns else "over"
        return {"number": armed.number, "fault": str(armed.fault), "state": state, "struck": armed.struck}

    def _bus(self, name: str) -> dict[str, Any]:
        fleet, words = self._fleet, self._fleet.rig.buses[name]
        line = fleet.lines.get(name)
        statistics = {} if line is None else asdict(line.statistics)
        statistics.pop("gaps_ns", None)
        return {
            "kind": str(words.kind),
            "port": fleet.ports.get(name),
            "plugged": name in fleet.plugged,
            "units": sorted(fleet.rig.units(name)),
            "unheard": fleet.unheard[name],
            **statistics,
        }


def _words_of(deed: Deed) -> dict[str, Any]:
    """Return what a deed says, in SI units, but for what it says by default."""
    return deed.model_dump(exclude={"at", "do"}, exclude_defaults=True)


def _check(verb: str, method: Callable[..., Any], words: Mapping[str, Any]) -> None:
    """Let through only words that the verb takes, of the right kind."""
    arguments = {each.name: each for each in _arguments(method)}
    for name, value in words.items():
        if name not in arguments:
            known = ", ".join(arguments) or "nothing"
            raise ControlError(f"{verb} takes no '{name}'{did_you_mean(name, arguments)} (it takes: {known})")
        what, kinds = _KINDS_OF_VALUE[arguments[name].kind]
        if value is None and not arguments[name].needed:
            continue
        if not isinstance(value, kinds) or isinstance(value, bool) or (isinstance(value, float) and math.isnan(value)):
            raise ControlError(f"{verb}: '{name}' must be {what}")
    missing = [each.name for each in arguments.values() if each.needed and each.name not in words]
    if missing:
        raise ControlError(f"{verb} needs {' and '.join(missing)}: {VERBS[verb]}")


def _arguments(method: Callable[..., Any]) -> list[_Argument]:
    hints = typing.get_type_hints(method)
    found = []
    for name, each in inspect.signature(method).parameters.items():
        kind = next((part for part in typing.get_args(hints[name]) if part is not type(None)), hints[name])
        kind = dict if typing.get_origin(hints[name]) is dict else kind
        found.append(_Argument(name=name, kind=kind, needed=each.default is inspect.Parameter.empty))
    return found
