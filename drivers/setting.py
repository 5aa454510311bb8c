"""Writes a register of a Modbus device that the rig file lets be written, and reads it back: only that is success."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.exchange import Ask, Attempt, Outcome, Request
from drivers.rig import Setting
from drivers.wire.modbus import PAYLOAD_AT, READ_HOLDING, read_registers, write_registers

_CODES: Final = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}
_READ_AGAIN: Final = 3
_LARGEST_FLOAT: Final = 3.4028234663852886e38


class SettingError(Exception):
    """A setting that is not what was asked for; the message says what is known of it.

    Attributes:
        outcome: how the attempt ended that decided; REPLY when the device answered and holds something else.
    """

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a register held before, and what it was found to hold afterwards."""

    before: float
    now: float


def limits(setting: Setting) -> tuple[float, float]:
    """Return the lowest and highest number that the register's type holds."""
    if setting.type == "float32":
        return -_LARGEST_FLOAT, _LARGEST_FLOAT
    bits = 16 * setting.count
    return (0.0, 2.0**bits - 1) if setting.type.startswith("u") else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


def encode(setting: Setting, value: float) -> bytes:
    """Return a number as its registers hold it, two bytes each.

    Raises:
        ValueError: it is beyond `range`, or no whole number where the register holds only those.
    """
    low, high = setting.range
    if not low <= value <= high:
        raise ValueError(f"{value:g} is beyond its range, {low:g} to {high:g}")
    if setting.type == "float32":
        return _ordered(struct.pack(">f", value), setting.order)
    if value != int(value):
        raise ValueError(f"{value:g}: {setting.type} holds whole numbers")
    return _ordered(struct.pack(_CODES[setting.type], int(value)), setting.order)


def decode(setting: Setting, registers: bytes) -> float:
    """Return the number that registers hold."""
    (value,) = struct.unpack(_CODES[setting.type], _ordered(registers, setting.order))
    return float(value)


def _ordered(data: bytes, order: str) -> bytes:
    """Change big-endian bytes to that order; done twice, it changes nothing."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return b"".join(words)


async def write_setting(
    ask: Ask, ask_once: Ask, unit: int, setting: Setting, value: float, *, last_look: Callable[[], None] = lambda: None
) -> Written:
    """Read a register, write it once, read it back.

    The answer to the write decides nothing: on a line that hears itself, and of a unit that is late, it could be
    somebody else's. A write that failed but is found done counts as done.

    Args:
        ask: for reads.
        ask_once: for the write, which is never put twice.
        unit: its address.
        setting: where, and what may be written.
        value: as the register holds it.
        last_look: called just before the write; what it raises is passed on, and nothing is written.

    Raises:
        ValueError: the value cannot be written; nothing was asked.
        SettingError: the register could not be read, or holds something else afterwards.
    """
    data = encode(setting, value)
    read = read_registers(unit, READ_HOLDING, setting.address, setting.count)
    function = setting.function or (6 if setting.count == 1 else 16)
    write = write_registers(unit, function, setting.address, data)
    before = await _read(ask, read)
    if before.outcome is not Outcome.REPLY:
        raise SettingError(f"it could not be read first ({_said(before)}); nothing was written", before.outcome)
    last_look()
    written = await ask_once(write)
    after = await _read(ask, read)
    if after.outcome is not Outcome.REPLY:
        text = f"written ({_said(written)}), but it could not be read back ({_said(after)}): nobody knows what it holds"
        raise SettingError(text, after.outcome)
    held = _registers(after, setting)
    now = decode(setting, held)
    if held != data:
        late = "" if written.outcome in (Outcome.REPLY, Outcome.EXCEPTION) else "; the write may still take effect"
        outcome = written.outcome if written.outcome is not Outcome.REPLY else after.outcome
        raise SettingError(f"it holds {now:g}, not {value:g} (write: {_said(written)}){late}", outcome)
    return Written(before=decode(setting, _registers(before, setting)), now=now)


async def _read(ask: Ask, request: Request) -> Attempt:
    """Ask until it is answered, a few times: an answer like that of a fence before it proves nothing the first time."""
    attempt = await ask(request)
    for _ in range(_READ_AGAIN):
        if attempt.outcome in (Outcome.REPLY, Outcome.EXCEPTION):
            break
        attempt = await ask(request)
    return attempt


def _registers(attempt: Attempt, setting: Setting) -> bytes:
    return attempt.frame[PAYLOAD_AT : PAYLOAD_AT + 2 * setting.count]


def _said(attempt: Attempt) -> str:
    if attempt.outcome is Outcome.EXCEPTION:
        return f"refused with code {attempt.code}"
    return {Outcome.REPLY: "answered"}.get(attempt.outcome, attempt.outcome.value.replace("_", " "))
