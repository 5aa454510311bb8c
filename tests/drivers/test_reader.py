"""One unit, read again and again: who it is comes first."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity
from drivers.reader import UnitReader, reader
from drivers.reading import Channel, RawPoll, Reason
from drivers.units import UNITS
from drivers.wire.modbus import PAYLOAD_AT
from firmware_sim.clock import run_virtual
from tests.drivers.models.asks import transducer
from tests.drivers.scripted_line import ScriptedLine, fences, healthy, question, silent

VALUE = question()


@dataclass
class Gauge:
    """A driver that counts how often it was asked who it is."""

    knows: list[Reason] = field(default_factory=list)
    identified: int = 0
    restarted: bool = False
    shape: int = 1
    channels: tuple[Channel, ...] = (Channel(transducer="p", quantity="pressure", unit=UNITS["Pa"]),)
    requests: tuple[Request, ...] = (VALUE,)
    fences: tuple[Request, ...] = fences()

    async def identify(self, ask: Ask) -> Identity:
        self.identified += 1
        return Identity(text="gauge", reason=self.knows.pop(0) if self.knows else Reason.NONE)

    async def poll(self, ask: Ask) -> RawPoll:
        attempt = await ask(VALUE)
        if attempt.outcome is not Outcome.REPLY:
            return RawPoll.nothing(self.channels, attempt.outcome.reason, attempt.time_s)
        return RawPoll(
            channels=self.channels,
            values=np.full(self.shape, float(attempt.frame[PAYLOAD_AT])),
            reasons=np.full(self.shape, Reason.RESTARTED if self.restarted else Reason.NONE, dtype=np.uint8),
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )


def reason(raw: RawPoll) -> Reason:
    return Reason(int(raw.reasons[0]))


def test_it_learns_who_it_is_once_and_then_polls() -> None:
    async def main() -> None:
        gauge = Gauge()
        async with ScriptedLine(healthy).opened() as bus:
            unit = UnitReader(bus, 1, gauge)
            assert unit.identity.reason is Reason.TIMEOUT
            assert [reason(await unit.poll()) for _ in range(5)] == [Reason.NONE] * 5
            assert (gauge.identified, unit.identity.text) == (1, "gauge")

    run_virtual(main(), limit_s=60)


def test_another_device_yields_no_value_until_it_is_the_right_one() -> None:
    async def main() -> None:
        gauge = Gauge(knows=[Reason.IDENTITY_MISMATCH, Reason.IDENTITY_MISMATCH])
        line = ScriptedLine(healthy)
        async with line.opened() as bus:
            unit = UnitReader(bus, 1, gauge)
            polls = [await unit.poll() for _ in range(3)]
            assert [reason(raw) for raw in polls] == [Reason.IDENTITY_MISMATCH, Reason.IDENTITY_MISMATCH, Reason.NONE]
            assert np.isnan(polls[0].values).all()
            assert gauge.identified == 3

    run_virtual(main(), limit_s=60)


def test_whoever_comes_back_after_silence_is_asked_who_it_is() -> None:
    async def main() -> None:
        gauge, line = Gauge(), ScriptedLine(healthy)
        async with line.opened() as bus:
            unit = UnitReader(bus, 1, gauge)
            await unit.poll()
            line.respond = silent
            assert reason(await unit.poll()) is Reason.TIMEOUT
            asked = len(line.asked)
            assert reason(await unit.poll()) is Reason.TIMEOUT  # it rests, and nothing is asked
            assert len(line.asked) == asked
            line.respond = healthy
            await asyncio.sleep(10)
            for _ in range(3):
                last = await unit.poll()
            assert reason(last) is Reason.NONE
            assert gauge.identified > 1

    run_virtual(main(), limit_s=60)


def test_whoever_is_behind_an_adapter_that_was_away_is_asked_who_it_is() -> None:
    async def main() -> None:
        gauge, line = Gauge(), ScriptedLine(healthy)
        async with line.opened() as bus:
            unit = UnitReader(bus, 1, gauge)
            await unit.poll()
            line.unplug()
            assert reason(await unit.poll()) is Reason.BUS_DOWN
            await asyncio.sleep(5)
            gauge.knows = [Reason.IDENTITY_MISMATCH]
            assert reason(await unit.poll()) is Reason.IDENTITY_MISMATCH
            assert reason(await unit.poll()) is Reason.NONE

    run_virtual(main(), limit_s=60)


def test_whoever_restarted_is_asked_who_it_is() -> None:
    async def main() -> None:
        gauge = Gauge(restarted=True)
        async with ScriptedLine(healthy).opened() as bus:
            unit = UnitReader(bus, 1, gauge)
            assert [reason(await unit.poll()) for _ in range(2)] == [Reason.RESTARTED] * 2
            assert gauge.identified == 2

    run_virtual(main(), limit_s=60)


def test_a_unit_that_rests_says_why_it_does() -> None:
    async def main() -> None:
        line = ScriptedLine(lambda number, frame: [(0.01, bytes(12))])
        async with line.opened() as bus:
            unit = UnitReader(bus, 1, Gauge())
            assert [reason(await unit.poll()) for _ in range(3)] == [Reason.CRC] * 3

    run_virtual(main(), limit_s=60)


def test_a_driver_that_gives_more_or_fewer_values_than_channels_is_found_out() -> None:
    async def main() -> None:
        async with ScriptedLine(healthy).opened() as bus:
            with pytest.raises(ValueError, match=r"unit 1: its driver gave values \(2,\) .* its channels are \(1,\)"):
                await UnitReader(bus, 1, Gauge(shape=2)).poll()

    run_virtual(main(), limit_s=60)


def test_the_driver_is_that_of_the_rig_files_model() -> None:
    async def main() -> None:
        unit = reader(ScriptedLine(healthy).bus(), 3, {"p": transducer("keller-33x")})
        assert [channel.id for channel in unit.driver.channels] == ["p.pressure", "p.temperature"]
        assert (unit.unit, unit.identity.reason) == (3, Reason.TIMEOUT)

    run_virtual(main())
