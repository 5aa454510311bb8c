"""Instruments that are asked in datagrams: each question comes whole, and each answer goes out as one."""

from collections.abc import Mapping

from firmware_sim.clock import EmulatorClock
from firmware_sim.firmware.firmware import Firmware
from firmware_sim.line import HOST
from firmware_sim.outbox import Listener, Outbox
from firmware_sim.ports import Receive


class DatagramUnits:
    """The units behind one UDP port; all of them hear each datagram, as on a line.

    Args:
        units: address -> device.
        clock: the emulator's.
        listener: told of each datagram, for a trace.
    """

    def __init__(self, units: Mapping[int, Firmware], clock: EmulatorClock, listener: Listener | None = None) -> None:
        self._units = units
        self._clock = clock
        self._outbox = Outbox(clock, listener)

    def session(self, send: Receive) -> Receive:
        """Begin a session with one peer."""

        def receive(datagram: bytes) -> None:
            at_ns = self._clock.now_ns()
            self._outbox.listen(at_ns, HOST, datagram)
            for number, unit in self._units.items():
                self._outbox.post(at_ns, number, unit.hear(at_ns, datagram), send)

        return receive

    def set_alarm(self) -> None:
        """Wait until the next answer is due."""
        self._outbox.set_alarm()

    def close(self) -> None:
        """Send nothing more."""
        self._outbox.close()
