"""Units of the rig file and of transducers, and their conversion to SI.

Inside Manovac every pressure is in Pa (absolute), every temperature in K, every time in s. Other units exist only in
the rig file, on a transducer's wire and on a screen.
"""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class UnitError(ValueError):
    """A number with a missing, unknown or unfitting unit; the message says which would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit: SI value = number * scale + offset."""

    symbol: str
    dimension: str
    scale: float
    offset: float = 0.0

    def to_si(self, number: float) -> float:
        """Return the SI value of a number in this unit."""
        return number * self.scale + self.offset

    def from_si(self, value: float) -> float:
        """Return an SI value as a number in this unit."""
        return (value - self.offset) / self.scale


_STANDARD_GRAVITY = 9.80665  # m/s2, exact by definition (CGPM 1901)
_POUND_FORCE = 0.45359237 * _STANDARD_GRAVITY
_SQUARE_INCH = 0.0254**2


def _table() -> dict[str, Unit]:
    scales: dict[str, dict[str, float]] = {
        "pressure": {
            "Pa": 1.0,
            "hPa": 100.0,
            "kPa": 1e3,
            "MPa": 1e6,
            "mbar": 100.0,
            "bar": 1e5,
            "mmHg": 133.322387415,
            "Torr": 101325.0 / 760.0,
            "inHg": 3386.388640341,
            "psi": _POUND_FORCE / _SQUARE_INCH,
            "psia": _POUND_FORCE / _SQUARE_INCH,
            "atm": 101325.0,
            "kgf/cm2": _STANDARD_GRAVITY * 1e4,
            "mmH2O": _STANDARD_GRAVITY,
            "mH2O": _STANDARD_GRAVITY * 1e3,
        },
        "temperature": {"K": 1.0, "mK": 1e-3},
        "time": {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0},
        "volume": {"m3": 1.0, "L": 1e-3, "l": 1e-3, "ft3": 0.3048**3},
        "current": {"A": 1.0, "mA": 1e-3, "uA": 1e-6},
        "fraction": {"%": 0.01, "ppm": 1e-6},
        "pressure rate": {
            "Pa/s": 1.0,
            "Pa/h": 1.0 / 3600.0,
            "Pa/day": 1.0 / 86400.0,
            "kPa/s": 1e3,
            "mmHg/min": 133.322387415 / 60.0,
        },
        "temperature rate": {"K/s": 1.0, "K/min": 1.0 / 60.0},
        "length": {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6},
        "area": {"m2": 1.0, "mm2": 1e-6},
        "mass": {"kg": 1.0, "g": 1e-3, "lb": 0.45359237},
        "mass rate": {
            "kg/s": 1.0,
            "kg/h": 1.0 / 3600.0,
            "kg/day": 1.0 / 86400.0,
            "g/h": 1e-3 / 3600.0,
            "lb/day": 0.45359237 / 86400.0,
        },
        "size": {"kB": 1e3, "MB": 1e6, "GB": 1e9},
        "density": {"kg/m3": 1.0, "kg/L": 1e3, "g/cm3": 1e3},
        "expansion": {"1/K": 1.0, "%/K": 0.01, "ppm/K": 1e-6},
        "volume rate": {"m3/s": 1.0, "L/s": 1e-3, "L/min": 1e-3 / 60.0},
        "contact": {"1": 1.0},
    }
    units = {
        symbol: Unit(symbol=symbol, dimension=dimension, scale=scale)
        for dimension, symbols in scales.items()
        for symbol, scale in symbols.items()
    }
    for symbol in ("C", "degC", "°C"):
        units[symbol] = Unit(symbol=symbol, dimension="temperature", scale=1.0, offset=273.15)
    units["degF"] = Unit(symbol="degF", dimension="temperature", scale=5.0 / 9.0, offset=459.67 * 5.0 / 9.0)
    return units


UNITS: Final = _table()

GASES: Final = ("o2", "co2", "h2o")
"""Gases whose partial pressures a transducer can measure; what is left of the pressure is nitrogen."""
SI_UNITS: Final[Mapping[str, str]] = {
    "pressure": "Pa",
    "temperature": "K",
    **{f"partial_{gas}": "Pa" for gas in GASES},
    "contact": "1",
}
"""What transducers measure, each with its SI unit; a contact at a hatch is 1 while the hatch is open, else 0."""

_EXAMPLES: Final = {
    "pressure": "12 Pa",
    "temperature": "21 C",
    "time": "300 ms",
    "volume": "89 m3",
    "current": "4 mA",
    "fraction": "5 %",
    "pressure rate": "1 kPa/s",
    "temperature rate": "1 K/s",
    "length": "2 mm",
    "area": "1 mm2",
    "mass": "5 kg",
    "mass rate": "1 kg/day",
    "density": "690 kg/m3",
    "expansion": "0.12 %/K",
    "volume rate": "10 L/s",
    "size": "256 MB",
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_QUANTITY: Final = re.compile(rf"\s*({_NUMBER})\s*(\S.*?)?\s*")
_RANGE: Final = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(\S.*?)?\s*")


def unit(symbol: str, dimension: str) -> Unit:
    """Return the unit of that symbol.

    Raises:
        UnitError: no such unit of that dimension.
    """
    found = UNITS.get(symbol)
    if found is not None and found.dimension == dimension:
        return found
    known = [name for name, each in UNITS.items() if each.dimension == dimension]
    if found is not None:
        raise UnitError(f"'{symbol}' is a unit of {found.dimension}, not of {dimension} (known: {', '.join(known)})")
    by_folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(symbol.lower(), by_folded, n=1, cutoff=0.5)
    hint = f", did you mean '{by_folded[close[0]]}'?" if close else ""
    raise UnitError(f"unknown unit '{symbol}'{hint} (known: {', '.join(known)})")


def unit_for(symbol: str, quantity: str) -> Unit:
    """Return the unit of that symbol, in which one of the quantities of `SI_UNITS` comes.

    Raises:
        UnitError: no such unit of that quantity.
    """
    return unit(symbol, UNITS[SI_UNITS[quantity]].dimension)


def parse_quantity(text: object, dimension: str) -> float:
    """Parse a number with its unit, such as "89 m3", into SI.

    Raises:
        UnitError: not a number with a unit of that dimension.
    """
    if not isinstance(text, str):
        if isinstance(text, int | float) and not isinstance(text, bool):
            raise UnitError(_needs_unit(str(text), dimension))
        raise UnitError(f'write a {dimension} with its unit, such as "{_EXAMPLES[dimension]}"')
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f'not a number with a unit, such as "{_EXAMPLES[dimension]}"')
    number, symbol = match.groups()
    if symbol is None:
        raise UnitError(_needs_unit(number, dimension))
    return unit(symbol, dimension).to_si(float(number))


def parse_time(text: str) -> float:
    """Parse a time greater than zero, as an option of a command, into s.

    Raises:
        UnitError: not such a time.
    """
    seconds = parse_quantity(text, "time")
    if not 0 < seconds < math.inf:
        raise UnitError(f'must be greater than zero, such as "{_EXAMPLES["time"]}"')
    return seconds


def _needs_unit(number: str, dimension: str) -> str:
    if dimension == "time":  # both are usual, and they differ by a thousand
        return f'needs a unit: write "{number} s" or "{number} ms"'
    return f'needs a unit: write "{number} {_EXAMPLES[dimension].split()[1]}"'


def parse_range(text: object, dimension: str) -> tuple[float, float]:
    """Parse a range with its unit, such as "0..160 kPa", into SI (low, high).

    Raises:
        UnitError: not two rising numbers with a unit of that dimension.
    """
    example = "0..160 kPa" if dimension == "pressure" else "4..20 mA" if dimension == "current" else "-20..80 C"
    match = _RANGE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise UnitError(f'not a range with a unit, such as "{example}"')
    low, high, symbol = match.groups()
    if symbol is None:
        raise UnitError(f'needs a unit: write "{low}..{high} {example.split()[1]}"')
    of = unit(symbol, dimension)
    if float(low) >= float(high):
        raise UnitError(f"the range must rise: {low} is not below {high}")
    return of.to_si(float(low)), of.to_si(float(high))
