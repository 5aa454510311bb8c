"""The Pfeiffer telegram as a gauge sees it: `aaa` action `ppp` length data checksum CR, all of them decimal digits.

Source: Pfeiffer operating instructions of PPT 100 and HPT 100, "Pfeiffer Vacuum protocol".
"""

import re
from dataclasses import dataclass
from typing import Final

_TELEGRAM: Final = re.compile(r"(\d{3})(00|10)(\d{3})(\d\d)([ -~]*)(\d{3})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telegram:
    """A telegram with a good checksum; one that asks has action 0 and the data `=?`."""

    unit: int
    writes: bool
    parameter: int
    data: str

    def answer(self, unit: int, data: str) -> bytes:
        """Return the telegram by which that unit answers this one."""
        return join(unit, self.parameter, data)


def split(line: str) -> Telegram | None:
    """Take a line without its CR apart; None unless length and checksum hold."""
    match = _TELEGRAM.fullmatch(line)
    if match is None or len(match[5]) != int(match[4]) or _checksum(line[:-3]) != int(match[6]):
        return None
    return Telegram(unit=int(match[1]), writes=match[2] == "10", parameter=int(match[3]), data=match[5])


def join(unit: int, parameter: int, data: str) -> bytes:
    """Return an answering telegram."""
    text = f"{unit:03}10{parameter:03}{len(data):02}{data}"
    return f"{text}{_checksum(text):03}\r".encode("ascii")


def _checksum(text: str) -> int:
    return sum(text.encode("ascii")) % 256


def expo(value: float) -> str:
    """Return a positive number as `u_expo_new`: four digits, and the power of ten above -20; nothing below 1e-20."""
    digits, _, exponent = f"{max(value, 1e-20):.3e}".partition("e")
    return f"{digits.replace('.', '')}{int(exponent) + 20:02}"
