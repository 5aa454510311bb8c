"""What twins asked in lines of text have in common: booting, settings, cutting, refusing, talking on their own."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from drivers.rig import Transducer
from firmware_sim.firmware.firmware import Reply, Sensor
from firmware_sim.firmware.settings import Settings
from firmware_sim.wire.ascii import Lines

_LINE_LIMIT: Final = 80


class State(Enum):
    """What the device is doing."""

    BOOT = auto()
    RUN = auto()
    STREAM = auto()


class TextDevice(ABC):
    """One device that ends each of its commands in the same way, CR unless `_cut` says otherwise.

    Args:
        boot_ns: silence after power-up.
        delay_ns: from the end of a command to its answer.
        settings: as they are when it leaves the factory or comes from the rig file.
    """

    silence_framed = False
    addresses: frozenset[int] | None = None

    def __init__(self, *, boot_ns: int, delay_ns: int = 0, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.state = State.RUN
        self.settings = Settings(settings)
        self.wakes_at_ns: int | None = None
        self._boot_ns = boot_ns
        self._delay_ns = delay_ns
        self._lines = Lines(limit=_LINE_LIMIT)
        self._refusal: int | None = None

    @abstractmethod
    def _answer(self, at_ns: int, line: str) -> bytes:
        """Return what a command brings, nothing where it brings nothing."""

    def _cut(self, data: bytes) -> Iterator[str]:
        """Yield the commands that have become whole."""
        for _, line in self._lines.feed(data):
            if line:
                yield line

    def _forget(self) -> None:
        """Drop what does not outlive a loss of power."""
        self._lines.clear()

    def _tell(self, at_ns: int) -> tuple[bytes, int]:
        """Return what it says on its own now, and after how many ns it says more."""
        raise NotImplementedError(f"{type(self).__name__} does not stream, yet it is told to at {at_ns} ns")

    def _stream(self, at_ns: int, every_ns: int) -> None:
        self.state = State.STREAM
        self.wakes_at_ns = at_ns + every_ns

    def _stop(self) -> None:
        self.state = State.RUN
        self.wakes_at_ns = None

    def refuse(self, code: int | None) -> None:
        """Refuse every command in the family's own words."""
        self._refusal = code

    def reboot(self, at_ns: int) -> None:
        """Lose power and come back; what is non-volatile stays."""
        self._forget()
        self.settings.restore()
        self.state = State.BOOT
        self.wakes_at_ns = at_ns + self._boot_ns

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """End booting, or say what is due on its own."""
        if self.wakes_at_ns is None or at_ns < self.wakes_at_ns:
            return ()
        if self.state is State.STREAM:
            data, after_ns = self._tell(at_ns)
            self.wakes_at_ns = at_ns + after_ns
            return (Reply(data=data),)
        self._stop()
        return ()

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Take characters as they come; answer each command when it is whole."""
        replies = list(self.wake(at_ns))
        if self.state is State.BOOT:
            return ()
        for line in self._cut(data):
            answer = self._answer(at_ns, line)
            if answer:
                replies.append(Reply(data=answer, delay_ns=self._delay_ns))
        return replies


def only(transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]) -> tuple[str, Transducer, Sensor]:
    """Return name, words and sensing element of the one transducer that a device is."""
    ((name, words),) = transducers.items()
    return name, words, sensors[name]


def digits(text: str, lowest: int, highest: int) -> int | None:
    """Return the number that plain digits stand for, None when they are none or it is out of bounds."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    number = int(text)
    return number if lowest <= number <= highest else None
