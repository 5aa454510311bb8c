"""A line on the running loop's clock: between a client's session and the wire that is emulated."""

from firmware_sim.clock import Alarm, EmulatorClock
from firmware_sim.faulty_line import Strangers
from firmware_sim.line import Line
from firmware_sim.ports import Receive


class LineBus:
    """One line, advanced when something on it is due; `session` begins that of its one client.

    Args:
        line: the wire and its stations.
        strangers: those who talk on it uninvited.
        clock: the emulator's.
    """

    def __init__(self, line: Line, strangers: Strangers, clock: EmulatorClock) -> None:
        self._line = line
        self._strangers = strangers
        self._clock = clock
        self._alarm = Alarm(clock, self._ring)
        self._send: Receive | None = None

    def session(self, send: Receive) -> Receive:
        """Begin a client's session, in place of the former one."""
        self._send = send
        return self._receive

    def set_alarm(self) -> None:
        """Wait until something on the line is due."""
        self._alarm.set(self._line.next_event_ns)

    def close(self) -> None:
        """Hear and say nothing more."""
        self._send = None
        self._alarm.set(None)

    def look_again(self) -> None:
        """Ask all who are on the line anew what they want: faults came or went."""
        now_ns = self._clock.now_ns()
        self._line.look_again(now_ns)
        self._ring(now_ns)

    def _receive(self, data: bytes) -> None:
        now_ns = self._clock.now_ns()
        heard = self._line.advance(now_ns)
        self._line.host_sends(now_ns, data)
        self._strangers.overhear(data)
        self.set_alarm()
        self._deliver(heard)

    def _ring(self, now_ns: int) -> None:
        heard = self._line.advance(now_ns)
        self.set_alarm()
        self._deliver(heard)

    def _deliver(self, heard: list[tuple[int, bytes]]) -> None:
        for _, data in heard:
            if self._send is not None:
                self._send(data)
