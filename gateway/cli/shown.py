"""How commands show a reading: for people in the segment's unit, for machines as on MQTT."""

from typing import Any

from drivers.reading import Reading
from drivers.rig import Rig
from drivers.units import SI_UNITS, UNITS


def value_text(rig: Rig, reading: Reading, digits: int) -> str:
    """Return a value with its unit, dashes when there is none: pressures as its segment or loop has them."""
    if reading.value is None:
        return "----"
    place = rig.place(reading.channel.transducer)
    if reading.channel.quantity == "contact":
        return "open" if reading.value else "closed"
    unit = UNITS["C" if reading.channel.quantity == "temperature" else place.display_unit]
    return f"{unit.from_si(reading.value):.{digits}f} {unit.symbol}"


def row(reading: Reading) -> dict[str, Any]:
    """Return value, unit, quality, reason and raw value as the MQTT payload has them."""
    return {
        "value": reading.value,
        "unit": SI_UNITS[reading.channel.quantity],
        "quality": reading.quality.word,
        "reason": reading.reason.word,
        "raw": reading.raw,
    }
