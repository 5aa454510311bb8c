"""How commands show a reading: for people in the segment's unit, for machines as on MQTT."""

from typing import Any

from drivers.reading import Reading
from drivers.rig import Rig
from drivers.units import UNITS
from gateway.mqtt.payloads import SI_UNITS


def value_text(rig: Rig, reading: Reading, digits: int) -> str:
    """Return a value with its unit, dashes when there is none: pressure as its segment or loop has it."""
    if reading.value is None:
        return "----"
    place = rig.place(reading.channel.transducer)
    unit = UNITS[place.display_unit if reading.channel.quantity == "pressure" else "C"]
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
