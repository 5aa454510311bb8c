"""Reads one unit again and again: learns who it is first, and anew after a restart or a silence."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from drivers import registry
from drivers.bus import WRITE, Bus
from drivers.exchange import Outcome
from drivers.model import Driver, Identity
from drivers.reading import RawPoll, Reason
from drivers.rig import Setting, Transducer
from drivers.setting import SettingError, Written, write_setting

_UNKNOWN: Final = Identity(reason=Reason.TIMEOUT)


class UnitReader:
    """One unit of a bus with its driver.

    Attributes:
        identity: who answered, as far as known.
    """

    def __init__(self, bus: Bus, unit: int, driver: Driver) -> None:
        self.bus = bus
        self.unit = unit
        self.driver = driver
        self.identity = _UNKNOWN
        self._connects = bus.connects
        self._writing = asyncio.Lock()
        self._ask = bus.unit(unit, driver.fences, usual=driver.requests)
        self._ask_first, self._ask_once = (
            bus.unit(unit, driver.fences, usual=driver.requests, priority=WRITE, once=once) for once in (False, True)
        )

    async def poll(self) -> RawPoll:
        """Read all channels once; a unit that is silent, unknown or not the expected one yields no value, but why."""
        if self.bus.connects != self._connects:  # whoever is on the line now may be another
            self._connects = self.bus.connects
            self.identity = _UNKNOWN
        resting = self.bus.resting(self.unit)
        if resting is not None:
            return self._nothing(resting.reason)
        if self.identity.reason is not Reason.NONE:
            self.identity = await self.driver.identify(self._ask)
            if self.identity.reason is not Reason.NONE:
                return self._nothing(self.identity.reason)
        raw = self._checked(await self.driver.poll(self._ask))
        if self.bus.silent(self.unit) or Reason.RESTARTED in raw.reasons.tobytes():
            self.identity = _UNKNOWN  # whoever comes back may be another
        return raw

    def forget(self) -> None:
        """Have the next poll ask at once, and who it is first, whatever became of earlier ones."""
        self.identity = _UNKNOWN
        self.bus.wake(self.unit)

    async def write(self, setting: Setting, value: float, *, last_look: Callable[[], None] = lambda: None) -> Written:
        """Change a register, ahead of all reads, and read it back; others who write to this unit wait meanwhile.

        Args:
            setting: where, and what may be written.
            value: as the register holds it.
            last_look: called just before the write; what it raises is passed on, and nothing is written.

        Raises:
            ValueError: the value cannot be written; nothing was asked.
            SettingError: it was not, or nobody knows.
        """
        async with self._writing:
            if self.identity.reason is not Reason.NONE:
                why = f"unit {self.unit} has not been read yet, or is not who it should be"
                raise SettingError(f"{why} ({self.identity.reason.word}); nothing was written", Outcome.TIMEOUT)
            return await write_setting(self._ask_first, self._ask_once, self.unit, setting, value, last_look=last_look)

    def _checked(self, raw: RawPoll) -> RawPoll:
        expected = (len(self.driver.channels),)
        if raw.values.shape != expected or raw.reasons.shape != expected:
            shapes = f"values {raw.values.shape} and reasons {raw.reasons.shape}"
            raise ValueError(f"unit {self.unit}: its driver gave {shapes} where its channels are {expected}")
        return raw

    def _nothing(self, reason: Reason) -> RawPoll:
        return RawPoll.nothing(self.driver.channels, reason, self.bus.now_s())


def reader(bus: Bus, unit: int, transducers: Mapping[str, Transducer]) -> UnitReader:
    """Return the reader of one unit from its transducers (id -> words), all of one model."""
    model = registry.model(next(iter(transducers.values())).model)
    return UnitReader(bus, unit, model.driver(unit, transducers, bus.words))
