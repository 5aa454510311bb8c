"""The kinds of faults: what each strikes, when it can, what it does in one line, and the numbers that it takes."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, get_args

from drivers.units import parse_quantity
from firmware_sim import EmulatorError

_NS: Final = 1_000_000_000
_MS: Final = 1_000_000
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")

Value = int | float | bytes
"""Of a parameter: a whole number, ns of a time, SI of another quantity, or bytes."""

Layer = Literal["sensor", "answer", "device", "line", "port"]
When = Literal["measurements", "requests", "times", "both"]
Medium = Literal["frames", "lines of text", "line-over-udp", "modbus-tcp"]
"""What carries a device's answers; no line disturbs the bytes of the last two."""

_MEDIA: Final = frozenset[Medium](get_args(Medium))
_LINES: Final = frozenset[Medium]({"frames", "lines of text"})


class FaultError(EmulatorError, ValueError):
    """A fault that cannot be; the message says which word is wrong and shows an example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that a kind takes.

    Attributes:
        default: also says what it is: bytes are written in hexadecimal.
        dimension: "" for a whole number; "time" is kept in ns, any other of `drivers.units` in SI.
        lowest, highest: what it can be.
    """

    default: Value
    dimension: str = ""
    lowest: float = 0
    highest: float = 255

    def parse(self, text: str, where: str) -> Value:
        """Return the value that a word of a spec stands for.

        Raises:
            FaultError, UnitError: it stands for none.
        """
        if isinstance(self.default, bytes):
            if _HEX.fullmatch(text) is None:
                raise FaultError(f"'{where}' needs bytes in hexadecimal, such as 010300000002c40b")
            return bytes.fromhex(text)
        if not self.dimension:
            return whole(text, where)
        value = parse_quantity(text, self.dimension)
        return round(value * _NS) if self.dimension == "time" else value

    def text(self, value: Value) -> str:
        """Return the word that `parse` reads."""
        if isinstance(value, bytes):
            return value.hex()
        match self.dimension:
            case "time":
                return time_text(int(value))
            case "fraction":
                return percent_text(value)
            case "pressure":
                return f"{_plain(value)}Pa"
            case "pressure rate":
                return f"{_plain(value)}Pa/s"
        return str(value)

    def check(self, name: str, value: Value) -> None:
        """Refuse what it cannot be.

        Raises:
            FaultError: says what it can be.
        """
        if isinstance(value, bytes) or self.lowest <= value <= self.highest:
            return
        if math.isinf(self.highest):
            raise FaultError(f"{name}={self.text(value)} is below {self.text(self._like(self.lowest))}")
        bounds = f"{self.text(self._like(self.lowest))}..{self.text(self._like(self.highest))}"
        raise FaultError(f"{name}={self.text(value)} is not within {bounds}")

    def _like(self, bound: float) -> Value:
        return int(bound) if isinstance(self.default, int) else bound


def whole(text: str, where: str) -> int:
    """Return the whole number that plain digits stand for.

    Raises:
        FaultError: they stand for none.
    """
    if not text.isascii() or not text.isdigit():
        raise FaultError(f"'{where}' needs a whole number")
    return int(text)


def time_text(ns: int) -> str:
    """Return a time as a spec writes it."""
    return f"{ns // _NS}s" if ns % _NS == 0 else f"{ns / 1e6!r}ms"


def _plain(number: float) -> str:
    """Return all digits of a number that it takes to read it again."""
    return repr(number).removesuffix(".0")


def percent_text(fraction: float) -> str:
    """Return a fraction as a spec writes it; the digits that somebody wrote come back."""
    return f"{fraction * 100:.15g}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a kind of fault does.

    Attributes:
        strikes: where it sits between the air and the client.
        title: one line, without the media on which it cannot happen; `text` has them too.
        parameters: its own numbers by name.
        when: "requests" when it changes answers, "measurements" when it changes what the sensor gives, "times" when it
            lasts (no conditions but times), "both" when it happens at a moment or at a request.
        target: "any" transducer or bus, or only one of the two.
        media: where it can happen; elsewhere it would do nothing, so there it is refused.
    """

    strikes: Layer
    title: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    when: When = "requests"
    target: Literal["any", "bus", "transducer"] = "any"
    media: frozenset[Medium] = _MEDIA

    @property
    def text(self) -> str:
        """One line for docs and --help."""
        nowhere = [medium for medium in get_args(Medium) if medium not in self.media]
        return f"{self.title} (not on {', '.join(nowhere)})" if nowhere else self.title


def _time(default_ms: int, *, lowest_ms: int = 0) -> Parameter:
    return Parameter(default=default_ms * _MS, dimension="time", lowest=lowest_ms * _MS, highest=math.inf)


def _pressure(default_pa: float) -> Parameter:
    return Parameter(default=default_pa, dimension="pressure", lowest=-1e9, highest=1e9)


def _fraction(default: float, lowest: float, highest: float) -> Parameter:
    return Parameter(default=default, dimension="fraction", lowest=lowest, highest=highest)


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "stuck": Kind(strikes="sensor", title="the sensor keeps its value", when="times"),
        "offset": Kind(
            strikes="sensor",
            title="the pressure reads `by` too high, below zero too low",
            parameters={"by": _pressure(500.0)},
            when="times",
        ),
        "drift": Kind(
            strikes="sensor",
            title="the pressure reads more and more too high, by `rate`",
            parameters={"rate": Parameter(default=10.0, dimension="pressure rate", lowest=-1e9, highest=1e9)},
            when="times",
        ),
        "spike": Kind(
            strikes="sensor",
            title="a measurement reads `by` too high; conditions count measurements, not requests",
            parameters={"by": _pressure(5000.0)},
            when="measurements",
        ),
        "silence": Kind(strikes="answer", title="no answer"),
        "late": Kind(
            strikes="answer",
            title="the answer comes later by `delay`; the device stays busy and answers in order",
            parameters={"delay": _time(400)},
        ),
        "crc": Kind(
            strikes="answer",
            title="one byte of the answer is flipped on the way",
            media=_MEDIA - {"modbus-tcp"},
        ),
        "truncate": Kind(
            strikes="answer",
            title="the answer stops after `bytes` bytes",
            parameters={"bytes": Parameter(default=3, highest=65_535)},
        ),
        "head": Kind(
            strikes="answer",
            title="the first `bytes` of an answer sooner than `within` are lost",
            parameters={"bytes": Parameter(default=2, lowest=1), "within": _time(2)},
            media=_MEDIA - {"modbus-tcp"},
        ),
        "split": Kind(
            strikes="answer",
            title="the answer pauses for `pause` after `bytes` bytes",
            parameters={"bytes": Parameter(default=4, lowest=1), "pause": _time(20)},
            media=_MEDIA - {"modbus-tcp"},
        ),
        "noise": Kind(
            strikes="answer",
            title="random bytes stand `before` and `after` the answer",
            parameters={"before": Parameter(default=3), "after": Parameter(default=0)},
            media=_MEDIA - {"modbus-tcp"},
        ),
        "duplicate": Kind(
            strikes="answer", title="the answer comes again after `delay`", parameters={"delay": _time(20)}
        ),
        "foreign": Kind(
            strikes="answer",
            title="the answer comes under the address `unit` (0: the next one); of text only Digiquartz answers",
            parameters={"unit": Parameter(default=0)},
        ),
        "function": Kind(
            strikes="answer",
            title="the answer comes under the function `code` (0: the next one), checksum right",
            parameters={"code": Parameter(default=0, highest=127)},
            media=frozenset({"frames", "modbus-tcp"}),
        ),
        "echo": Kind(
            strikes="answer",
            title="the request comes back before the answer, in place of it with `answer=0`",
            parameters={"answer": Parameter(default=1, highest=1)},
            media=_MEDIA - {"modbus-tcp"},
        ),
        "exception": Kind(
            strikes="answer", title="the device refuses with `code`", parameters={"code": Parameter(default=4)}
        ),
        "reboot": Kind(
            strikes="device",
            title="the device restarts and is deaf for `deaf`",
            parameters={"deaf": _time(2000)},
            when="both",
        ),
        "brownout": Kind(
            strikes="device",
            title="low supply: a restart each `every`, deaf for `deaf`, a share of `garbage` among its answers",
            parameters={
                "every": _time(3000, lowest_ms=1),
                "deaf": _time(500),
                "garbage": _fraction(0.5, 0.0, 1.0),
            },
            when="times",
        ),
        "babble": Kind(
            strikes="device",
            title="each `every` it says `bytes` random bytes unasked, 0: its last answer",
            parameters={"every": _time(100, lowest_ms=1), "bytes": Parameter(default=8)},
            when="times",
            media=_LINES,
        ),
        "address": Kind(
            strikes="device",
            title="the device has the address `unit` (0: the next one); text and modbus-tcp: it is only gone",
            parameters={"unit": Parameter(default=0)},
            when="times",
        ),
        "baud": Kind(
            strikes="device",
            title="the device talks and listens at `baud`",
            parameters={"baud": Parameter(default=4800, lowest=300, highest=4_000_000)},
            when="times",
            media=_LINES,
        ),
        "skew": Kind(
            strikes="device",
            title="the device's clock runs at `speed`: its periods and delays are shorter or longer",
            parameters={"speed": _fraction(1.1, 0.01, 100.0)},
            when="times",
        ),
        "cut": Kind(
            strikes="device",
            title="the cable is cut before this unit: it and all units after it in the rig file are gone",
            when="times",
            target="transducer",
        ),
        "bits": Kind(
            strikes="line",
            title="each bit on the line, of requests too, flips with probability `rate`",
            parameters={"rate": _fraction(0.001, 0.0, 1.0)},
            when="times",
            target="bus",
            media=_LINES,
        ),
        "intruder": Kind(
            strikes="line",
            title="another client puts `request`, or repeats the last one, each `every`",
            parameters={"every": _time(500, lowest_ms=1), "request": Parameter(default=b"")},
            when="times",
            target="bus",
            media=_LINES,
        ),
        "traffic": Kind(
            strikes="line",
            title="each `every` somebody asks a unit that the rig lacks, and it answers",
            parameters={"every": _time(300, lowest_ms=1)},
            when="times",
            target="bus",
            media=_LINES,
        ),
        "unplug": Kind(
            strikes="port",
            title="the bus' port vanishes, and comes back when the time is over (a pty as another device)",
            when="times",
            target="bus",
        ),
        "rename": Kind(
            strikes="port",
            title="the bus' port goes by another name; the rig file's is dead until the time is over",
            when="times",
            target="bus",
        ),
    }
)


def kinds_of(*layers: Layer, medium: Medium | None = None) -> frozenset[str]:
    """Return the kinds that strike there, only those that can happen on the medium when one is given."""
    return frozenset(
        name for name, kind in KINDS.items() if kind.strikes in layers and (medium is None or medium in kind.media)
    )
