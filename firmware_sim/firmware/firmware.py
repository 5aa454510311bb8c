"""The seam between a line and the devices on it: what firmware hears and what it sends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers.rig import Bus, Transducer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Bytes that a device will send.

    Attributes:
        delay_ns: from the end of what it heard to its first character, on top of the line's own turnaround.
    """

    data: bytes
    delay_ns: int = 0


class Sensor(Protocol):
    """The sensing element of one transducer: what it would report at a moment, noise and all."""

    def read(self, at_ns: int) -> tuple[float, float]:
        """Return (pressure in Pa, temperature in K)."""
        ...


class WideSensor(Sensor, Protocol):
    """What also feels gases and a hatch."""

    def feel(self, quantity: str, at_ns: int) -> float:
        """Return another quantity: a partial pressure in Pa; of a contact 1 while its hatch is open, else 0."""
        ...


class Firmware(Protocol):
    """One device as a pure state machine: no clock, no I/O. Times are ns of the emulator's clock and never fall.

    Attributes:
        silence_framed: True when a frame ends by silence (Modbus RTU, KELLER bus): `hear` then gets whole frames;
            False when it ends by a terminator: `hear` gets characters as they come.
        addresses: first characters of the frames that concern it, None when any may: most of what a device hears is for
            others, and its line interface drops that. Asked again whenever it has heard something.
        wakes_at_ns: when it wants `wake` to be called, None when never (devices that talk on their own).
    """

    @property
    def silence_framed(self) -> bool: ...
    @property
    def addresses(self) -> frozenset[int] | None: ...
    @property
    def wakes_at_ns(self) -> int | None: ...

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Take what came over the line; return what to send, in order."""
        ...

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """Do what was due at `wakes_at_ns`."""
        ...

    def reboot(self, at_ns: int) -> None:
        """Lose power and come back: volatile settings are gone, non-volatile ones stay."""
        ...

    def refuse(self, code: int | None) -> None:
        """Answer everything with that refusal (Modbus exception code, family's error text) until called with None."""
        ...


class OwnSpeed(Protocol):
    """Firmware that can be told to run its line at another speed; it counts from its next character on.

    Attributes:
        baud: the speed that it is set to.
    """

    @property
    def baud(self) -> int: ...


class ModbusFirmware(Firmware, Protocol):
    """Firmware that can also sit behind a Modbus TCP port."""

    def serve(self, at_ns: int, pdu: bytes) -> bytes | Reply | None:
        """Answer one PDU (function code and data), None for silence; as a `Reply` to say when."""
        ...


class Twin(Protocol):
    """How a family's firmware is made; entry points of the group `manovac.twins` offer it under the model's name."""

    def __call__(
        self, *, unit: int, bus: Bus, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]
    ) -> Firmware:
        """Make the device at one address from its transducers (id -> words) and their sensing elements."""
        ...
