"""How long characters and silences take on a line, and what happened on one."""

from dataclasses import dataclass
from typing import Final

from drivers.rig import Bus

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStatistics:
    """What happened on a line so far.

    Attributes:
        requests: transmissions of the host; what it adds before the last one is out belongs to that one.
        answers: runs that stations sent.
        violations: host transmissions that began before the line had been silent for T3.5 (0 on a line without
            silence-framed stations).
        gaps_ns: the silence before each of those, the last 4096; negative when the line was still in use.
        collisions: times that several talked at once.
        busy_ns: time in which characters were sent; where several talk at once, each counts.
        host_bytes, station_bytes: characters sent.
    """

    requests: int
    answers: int
    violations: int
    gaps_ns: tuple[int, ...]
    collisions: int
    busy_ns: int
    host_bytes: int
    station_bytes: int


class Speed:
    """Character time of a bus, worked out once; `key` is what two must share to understand each other.

    A second stop bit only takes time: receivers look at the first.
    """

    __slots__ = ("baud", "key", "per_character")

    def __init__(self, bus: Bus) -> None:
        self.key = (bus.baud, bus.format[:2])
        self.per_character = bus.character_bits * _NS
        self.baud = bus.baud

    def span_ns(self, characters: int) -> int:
        """Return the time that so many characters take, ns."""
        return (characters * self.per_character + self.baud // 2) // self.baud


def span_ns(bus: Bus, characters: int) -> int:
    """Return the time that characters take on a bus, ns."""
    return Speed(bus).span_ns(characters)


def silence_ns(bus: Bus) -> int:
    """Return T3.5 of a bus, ns (Modbus over serial line V1.02, 2.5.1.1)."""
    return round(bus.silence_s * _NS)
