"""Watches which units give no reading: one line in the log and one alarm when one falls silent, or a whole bus.

A unit is silent once several polls in a row have brought nothing to believe, and for some seconds; it is back when as
many have. Where all units of a bus are silent, or many, that is one trouble and not many.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.reading import Readings, Reason
from drivers.rig import Bus, BusKind, Rig
from drivers.rig_problems import counted
from gateway.alarms import Condition, Observation, Priority

CAUSE: Final = "no-reading"
"""Cause of these alarms; whether a unit is silent is known again soon after a restart."""

_LOG: Final = logging.getLogger(__name__)
_POLLS: Final = 3
_SILENT_S: Final = 10.0
_GONE_S: Final = 30.0
_MANY: Final = 5  # units of a bus; more of them are told as one
_NOTHING: Final = frozenset(
    {
        Reason.TIMEOUT,
        Reason.CRC,
        Reason.EXCEPTION,
        Reason.FOREIGN,
        Reason.LATE,
        Reason.SENSOR_FAILURE,
        Reason.IDENTITY_MISMATCH,
        Reason.BUS_DOWN,
        Reason.CONFIG,
    }
)


@dataclass(slots=True, kw_only=True)
class _Unit:
    """One unit of a bus.

    Attributes:
        names: its transducers.
        since_s: when it last gave something, or the watch began; that it begins to answer moves no onset.
        misses, hits: polls in a row without, or with, something to believe.
        reason: of the last poll without.
        silent: None while nothing is known, and while it is paused.
        told: whether the log has named it; a bus that is down has a line of its own there.
    """

    number: int
    bus: str
    names: tuple[str, ...]
    segment: str
    since_s: float
    misses: int = 0
    hits: int = 0
    reason: Reason = Reason.NONE
    silent: bool | None = None
    told: bool = False

    def __str__(self) -> str:
        more = f" and {len(self.names) - 1} more" if len(self.names) > 1 else ""
        return f"{self.names[0]}{more} (unit {self.number} of {self.bus})"

    def missed(self, reason: Reason) -> None:
        """Note a poll without anything to believe; whether it answers is found anew when its bus is back."""
        if Reason.BUS_DOWN in (reason, self.reason) and reason is not self.reason:
            self.misses = 0
        self.reason = reason
        self.misses, self.hits = self.misses + 1, 0

    def rest(self, now_s: float) -> None:
        """Know nothing, while it is not asked on purpose."""
        self.silent, self.told, self.misses, self.hits, self.since_s = None, False, 0, 0, now_s

    def look(self, now_s: float) -> None:
        """Judge anew."""
        if self.misses >= _POLLS and now_s - self.since_s >= _SILENT_S:
            self.silent = True
        elif self.hits >= (_POLLS if self.silent else 1):
            self.since_s = now_s if self.silent else self.since_s
            self.silent = False


class SilenceWatch:
    """Watches the units of a rig."""

    def __init__(self, rig: Rig, now_s: float) -> None:
        self._rig = rig
        self._buses = {
            bus: [
                _Unit(
                    number=number,
                    bus=bus,
                    names=tuple(words),
                    segment=next(iter(words.values())).segment,
                    since_s=now_s,
                )
                for number, words in rig.units(bus).items()
            ]
            for bus in rig.buses
        }
        self._units = {name: unit for units in self._buses.values() for unit in units for name in unit.names}
        self._raised: dict[str, Condition] = {}
        self._all_known = False

    def take(self, readings: Readings) -> None:
        """Take the readings of one poll of one unit."""
        unit = self._units[readings.channels[0].transducer]
        if not readings.all_good and _NOTHING.issuperset(readings.reasons.tolist()):
            unit.missed(Reason(int(readings.reasons[0])))
        else:
            unit.misses, unit.hits = 0, unit.hits + 1
            if not unit.silent:
                unit.since_s = readings.time_s

    def look(self, now_s: float, paused: Collection[str] = ()) -> Iterator[Observation]:
        """Say in the log what has changed, and yield what is, or was, an alarm.

        Args:
            now_s: the time.
            paused: transducers that are not asked on purpose.
        """
        there: dict[str, Observation] = {}
        for bus, units in self._buses.items():
            asked = units
            if paused:
                asked = [unit for unit in units if not set(unit.names).issubset(paused)]
                for unit in units:
                    if set(unit.names).issubset(paused):
                        unit.rest(now_s)
            for unit in asked:
                unit.look(now_s)
            silent = [unit for unit in asked if unit.silent]
            self._tell(bus, asked, silent, now_s)
            there |= {each.condition.id: each for each in self._there(bus, silent, len(asked))}
        self._tell_all_known(paused)
        for alarm_id, condition in self._raised.items():
            if alarm_id not in there:
                yield Observation(condition=condition, there=False)
        for alarm_id, each in there.items():
            self._raised[alarm_id] = each.condition
            yield each

    @staticmethod
    def _there(bus: str, silent: Sequence[_Unit], asked: int) -> Iterator[Observation]:
        if silent and (len(silent) == asked or len(silent) > _MANY):
            condition = Condition(id=f"bus-silent-{bus}", priority=Priority.WARNING, cause=CAUSE, off_delay_s=_GONE_S)
            yield Observation(
                condition=condition,
                there=True,
                value=float(sum(len(unit.names) for unit in silent)),
                since_s=min(unit.since_s for unit in silent),
            )
            return
        for unit in silent:
            condition = Condition(
                id=f"silent-{unit.names[0]}",
                priority=Priority.ADVICE,
                cause=CAUSE,
                segment=unit.segment,
                off_delay_s=_GONE_S,
            )
            yield Observation(condition=condition, there=True, since_s=unit.since_s)

    def _tell(self, bus: str, asked: Sequence[_Unit], silent: Sequence[_Unit], now_s: float) -> None:
        """Name those that have fallen silent since the last look, and those that are back."""
        fallen = [
            unit for unit in silent if not unit.told and unit.reason is not Reason.BUS_DOWN and unit.misses >= _POLLS
        ]
        back = [unit for unit in asked if unit.told and not unit.silent]
        for unit in (*fallen, *back):
            unit.told = bool(unit.silent)
        if fallen and len(silent) == len(asked):
            reasons = {unit.reason for unit in silent}
            advice = advice_on_silence(bus, self._rig.buses[bus], [unit.number for unit in silent], reasons)
            _LOG.warning("bus %s: nothing from any of its %s: %s", bus, counted(len(asked), "unit"), advice)
        elif fallen:
            for unit in fallen[:_MANY]:
                what = "no answer" if unit.reason is Reason.TIMEOUT else f"nothing believable ({unit.reason.word})"
                _LOG.warning(
                    "%s: %s for %.0f s; to see its line, end this and run `manovac read %s RIG`",
                    unit,
                    what,
                    now_s - unit.since_s,
                    unit.names[0],
                )
            if len(fallen) > _MANY:
                _LOG.warning("bus %s: and nothing from %d more of its units", bus, len(fallen) - _MANY)
        for unit in back[:_MANY]:
            _LOG.info("%s answers", unit)
        if len(back) > _MANY:
            _LOG.info("bus %s: and %d more of its units answer", bus, len(back) - _MANY)

    def _tell_all_known(self, paused: Collection[str]) -> None:
        """Say once, at the start, how many transducers answer: a sign of life."""
        if self._all_known:
            return
        asked = {name: unit for name, unit in self._units.items() if name not in paused}
        if any(unit.silent is None for unit in asked.values()):
            return
        self._all_known = True
        answer = sum(not unit.silent for unit in asked.values())
        _LOG.info("%d of %s answer", answer, counted(len(asked), "transducer"))


def advice_on_silence(name: str, bus: Bus, units: Sequence[int], reasons: Collection[Reason]) -> str:
    """Return what to check where nothing believable came from these units of a bus."""
    line = f"{bus.baud} {bus.format} of bus {name}"
    which = f"unit number {units[0]}" if len(units) == 1 else "unit numbers"
    if set(reasons) <= {Reason.TIMEOUT}:
        if bus.kind is BusKind.MODBUS_TCP:
            which = f"it unit {units[0]} of {bus.port}" if len(units) == 1 else f"this {bus.port}, with these units"
            return f"no answer: is {which}? `manovac scan` asks them all"
        return f"no byte came: check wiring (A/B swapped?), power, {which}, and the line setting {line}"
    if Reason.CRC in reasons:
        return f"bytes came that are no whole answer: check baud and format ({line}), termination, noise"
    return ", ".join(sorted(reason.word or "" for reason in reasons))
