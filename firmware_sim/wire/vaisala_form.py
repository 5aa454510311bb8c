"""The output formatter of Vaisala barometers: what a FORM string means and the message it makes.

Source: Vaisala PTB330 user's guide M210855EN, FORM command and table of its modifiers (page 71).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Final

_ITEM: Final = re.compile(
    r"""\s*(?:
        "(?P<text>[^"]*)"
      | [#\\](?P<byte>\d{1,3})
      | [#\\](?P<control>RN|R|N|T)
      | (?P<digits>\d)\.(?P<places>\d)
      | (?P<word>CS[24X] | MCTR | PSTAB | ADDR | ERR | SN | TP[1-3] | P[1-3] | P | U[1-9]?)
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_CONTROLS: Final = {"RN": b"\r\n", "R": b"\r", "N": b"\n", "T": b"\t"}


class FormError(ValueError):
    """A format string with something in it that is no item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item: `kind` is text, length or word; `argument` says which."""

    kind: str
    argument: bytes | tuple[int, int] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A measured value for the message.

    Attributes:
        value: in `unit`, None when there is none: printed as stars.
        length: digits before and after the point unless the format says otherwise.
    """

    value: float | None
    unit: str
    length: tuple[int, int]


def parse(form: str) -> tuple[Item, ...]:
    """Parse a format string.

    Raises:
        FormError: at the first thing that is no item.
    """
    items: list[Item] = []
    at = 0
    while at < len(form):
        match = _ITEM.match(form, at)
        if match is None:
            raise FormError(f"no item of a format: {form[at:]!r}")
        items.append(_item(match))
        at = match.end()
    return tuple(items)


def _item(match: re.Match[str]) -> Item:
    if match["text"] is not None:
        return Item(kind="text", argument=match["text"].encode("ascii", "replace"))
    if match["byte"] is not None:
        if int(match["byte"]) > 255:
            raise FormError(f"no byte: {match['byte']}")
        return Item(kind="text", argument=bytes((int(match["byte"]),)))
    if match["control"] is not None:
        return Item(kind="text", argument=_CONTROLS[match["control"].upper()])
    if match["digits"] is not None:
        return Item(kind="length", argument=(int(match["digits"]), int(match["places"])))
    return Item(kind="word", argument=match["word"].upper())


def render(items: tuple[Item, ...], quantities: Mapping[str, Quantity], fields: Mapping[str, str]) -> bytes:
    """Return the message that a format makes.

    Args:
        items: the parsed format.
        quantities: by name (P, P1, TP1 ...); one that is not there is printed as stars.
        fields: words with a text of their own (ADDR, ERR, MCTR, PSTAB, SN).
    """
    message = bytearray()
    length: tuple[int, int] | None = None
    unit = ""
    for item in items:
        match item.argument:
            case bytes(text):
                message += text
            case (int(), int()) as wanted:
                length = None if wanted == (0, 0) else wanted
            case str(word) if word in fields:
                message += fields[word].encode("ascii", "replace")
            case str(word) if word.startswith("CS"):
                message += _checksum(word, bytes(message))
            case str(word) if word.startswith("U"):
                message += _unit(unit, word)
            case str(word):
                quantity = quantities.get(word, Quantity(value=None, unit="", length=(4, 2)))
                message += _number(quantity, length or quantity.length)
                unit = quantity.unit
    return bytes(message)


def _number(quantity: Quantity, length: tuple[int, int]) -> bytes:
    digits, places = length
    width = digits + places + (places > 0)
    text = "*" * width if quantity.value is None else f"{quantity.value:{width}.{places}f}"
    return text.encode("ascii")


def _unit(unit: str, word: str) -> bytes:
    width = int(word[1:]) if len(word) > 1 else len(unit)
    return f"{unit:<{width}}"[:width].encode("ascii")


def _checksum(word: str, message: bytes) -> bytes:
    if word == "CSX":  # as in NMEA 0183: what stands between "$" and "*"
        return b"%02X" % reduce(xor, message.removeprefix(b"$").removesuffix(b"*"), 0)
    return b"%02X" % (sum(message) % 256) if word == "CS2" else b"%04X" % (sum(message) % 65536)
