import asyncio
import os
import tty

import pytest

from drivers.trace.records import Trace
from firmware_sim.fleet import FleetError
from firmware_sim.line_time import silence_ns, span_ns
from firmware_sim.ports.serial_port import SerialPort
from tests.firmware_sim.devices import bus, fleet, framed, question, rig, rtu, until


class Wire:
    """The other end of the line behind an "adapter", which is a symlink to a pseudo-terminal."""

    def __init__(self, link, *, echo=False):
        self.link, self.echo = link, echo
        self.heard = b""
        self.plug_in()

    def plug_in(self):
        self.end, other = os.openpty()
        tty.setraw(other)
        os.set_blocking(self.end, False)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(other))
        self._other = other

    def unplug(self):
        asyncio.get_running_loop().remove_reader(self.end)
        self.link.unlink()
        os.close(self.end)
        os.close(self._other)

    def listen(self):
        asyncio.get_running_loop().add_reader(self.end, self._readable)

    def _readable(self):
        data = os.read(self.end, 4096)
        self.heard += data
        if self.echo:
            os.write(self.end, data)

    async def ask(self, request, size):
        await asyncio.sleep(0.01)  # every client keeps T3.5
        self.heard = b""
        os.write(self.end, request)
        async with asyncio.timeout(20):
            await until(lambda: len(self.heard) >= size)
        return self.heard


def on_copper(link, act, *, words=None, echo=False, **more):
    async def main():
        told = []
        wire = Wire(link, echo=echo)
        on_it = words or rig(units=(1, 2))
        async with fleet(on_it, serial={"b": str(link)}, tell=told.append, **more).serve() as served:
            wire.listen()
            try:
                return await act(served, wire, told)
            finally:
                wire.unplug()

    return asyncio.run(main())


@pytest.mark.parametrize("echo", [False, True])
def test_the_fleet_answers_behind_an_adapter_whether_it_hears_itself_or_not(tmp_path, echo):
    async def act(served, wire, told):
        answers = [await wire.ask(rtu(unit), 9) for unit in (1, 2, 1, 1)]
        return answers, dict(served.ports), served.lines["b"].statistics, list(told)

    answers, ports, statistics, told = on_copper(tmp_path / "adapter", act, echo=echo)
    assert [answer[:3] for answer in answers] == [bytes([unit, 3, 4]) for unit in (1, 2, 1, 1)]
    assert all(framed(answer[:-2]) == answer for answer in answers)
    assert ports == {"b": str(tmp_path / "adapter")}
    assert (statistics.requests, statistics.answers, statistics.collisions) == (4, 4, 0)
    assert told == []


def test_half_a_request_spoils_nothing_but_itself(tmp_path):
    async def act(served, wire, told):
        os.write(wire.end, rtu(1)[:5])
        await asyncio.sleep(0.06)
        return await wire.ask(rtu(2), 9)

    assert on_copper(tmp_path / "adapter", act)[:3] == b"\x02\x03\x04"


def test_faults_strike_on_copper_as_anywhere(tmp_path):
    async def act(served, wire, told):
        return await wire.ask(rtu(1), 9)

    answer = on_copper(tmp_path / "adapter", act, faults=["foreign:p1,unit=77"])
    assert answer[0] == 77


def test_the_uart_keeps_the_time_of_the_characters_so_the_line_does_not(tmp_path):
    """At 300 baud request and answer take 0.57 s; T3.5 of silence between them is all that the fleet waits."""
    trace = Trace()

    async def act(served, wire, told):
        await wire.ask(rtu(1), 9)
        return served.now_ns()

    over_ns = on_copper(tmp_path / "adapter", act, words=rig(baud=300), trace=trace)
    asked, answered = trace.records
    assert answered.t_ns - (asked.t_ns + span_ns(bus(300), 8)) == silence_ns(bus(300))
    assert over_ns - answered.t_ns < span_ns(bus(300), 9)


def test_an_adapter_that_goes_away_is_told_and_opened_again_when_it_is_back(tmp_path):
    async def act(served, wire, told):
        first = await wire.ask(rtu(1), 9)
        wire.unplug()
        async with asyncio.timeout(20):
            await until(lambda: told)
        wire.plug_in()
        wire.listen()
        async with asyncio.timeout(20):
            await until(lambda: len(told) == 2)
        return first, await wire.ask(rtu(1), 9), list(told)

    first, second, told = on_copper(tmp_path / "adapter", act)
    assert first[:3] == second[:3] == b"\x01\x03\x04"
    assert [message.partition("adapter ")[2].partition(" (")[0] for message in told] == ["has gone", "is back"]
    assert all(message.startswith("bus b: ") for message in told)


def port(path):
    return SerialPort("b", str(path), bus(), lambda send: lambda data: None, framed=True, tell=lambda message: None)


def test_what_is_wrong_with_an_adapter_is_said(tmp_path):
    async def main():
        with pytest.raises(OSError, match=r"bus b: .*none: no such port; `manovac ports`"):
            await port(tmp_path / "none").open()
        wire = Wire(tmp_path / "adapter")
        one = port(wire.link)
        await one.open()
        with pytest.raises(OSError, match="another program holds this port"):
            await port(wire.link).open()
        one.close()
        wire.unplug()

    asyncio.run(main())


def test_only_a_serial_bus_of_the_rig_can_be_on_copper():
    with pytest.raises(FleetError, match=r"no serial bus 'c' \(serial buses: b\)"):
        fleet(rig(), serial={"c": "/dev/ttyUSB0"})
    with pytest.raises(FleetError, match=r"no serial bus 'b' \(serial buses: none\)"):
        fleet(rig(kind="modbus-tcp"), serial={"b": "/dev/ttyUSB0"})


def test_a_question_to_nobody_brings_nothing(tmp_path):
    async def act(served, wire, told):
        os.write(wire.end, question(99))
        await asyncio.sleep(0.05)
        return wire.heard

    assert on_copper(tmp_path / "adapter", act) == b""
