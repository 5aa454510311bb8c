"""Reads one unit again and again: learns who it is first, and anew after a restart or a silence."""

from collections.abc import Mapping
from typing import Final

from drivers import registry
from drivers.bus import Bus
from drivers.model import Driver, Identity
from drivers.reading import RawPoll, Reason
from drivers.rig import Transducer

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
        self._ask = bus.unit(unit, driver.fences)

    async def poll(self) -> RawPoll:
        """Read all channels once; a unit that is silent, unknown or not the expected one yields values of no use, with why."""
        if self.bus.resting(self.unit):
            return self._nothing(Reason.TIMEOUT)
        if self.identity.reason is not Reason.NONE:
            self.identity = await self.driver.identify(self._ask)
            if self.identity.reason is not Reason.NONE:
                return self._nothing(self.identity.reason)
        raw = await self.driver.poll(self._ask)
        if self.bus.silent(self.unit) or Reason.RESTARTED in raw.reasons.tobytes():
            self.identity = _UNKNOWN  # whoever comes back may be another
        return raw

    def _nothing(self, reason: Reason) -> RawPoll:
        return RawPoll.nothing(self.driver.channels, reason, self.bus.now_s())


def reader(bus: Bus, unit: int, transducers: Mapping[str, Transducer]) -> UnitReader:
    """Return the reader of one unit from its transducers (id -> words), all of one model."""
    model = registry.model(next(iter(transducers.values())).model)
    return UnitReader(bus, unit, model.driver(unit, transducers, bus.words))
