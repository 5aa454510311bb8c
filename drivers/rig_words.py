"""What a rig file's values are made of: ids, and quantities with units that become SI numbers."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from drivers.units import parse_quantity, parse_range

_ID_PATTERN = r"^[a-z0-9_-]+$"


def _quantity(dimension: str, example: str) -> Any:
    schema = {"type": "string", "description": f"a {dimension} with its unit", "examples": [example]}
    return (BeforeValidator(lambda text: parse_quantity(text, dimension)), WithJsonSchema(schema))


def _range(dimension: str, example: str) -> Any:
    schema = {"type": "string", "description": f"a {dimension} range with its unit", "examples": [example]}
    return (BeforeValidator(lambda text: parse_range(text, dimension)), WithJsonSchema(schema))


def positive(value: float) -> float:
    """Return a number above zero.

    Raises:
        ValueError: it is not.
    """
    if value <= 0:
        raise ValueError("must be greater than zero")
    return value


def not_negative(value: float) -> float:
    """Return a number that is zero or above.

    Raises:
        ValueError: it is not.
    """
    if value < 0:
        raise ValueError("must not be negative")
    return value


def _temperature_error(value: float) -> float:
    if not 0 < value <= 20:
        raise ValueError("is a difference of temperatures: write it in K or mK, at most 20 K")
    return value


Id = Annotated[str, Field(pattern=_ID_PATTERN)]
Pressure = Annotated[float, *_quantity("pressure", "12 Pa")]
PressureRange = Annotated[tuple[float, float], *_range("pressure", "0..160 kPa")]
PressureRate = Annotated[float, *_quantity("pressure rate", "1 kPa/s"), AfterValidator(positive)]
Temperature = Annotated[float, *_quantity("temperature", "21 C")]
CurrentRange = Annotated[tuple[float, float], *_range("current", "4..20 mA")]
Period = Annotated[float, *_quantity("time", "1 s"), AfterValidator(positive)]
Duration = Annotated[float, *_quantity("time", "300 ms"), AfterValidator(not_negative)]
Volume = Annotated[float, *_quantity("volume", "89 m3"), AfterValidator(positive)]
Size = Annotated[float, *_quantity("size", "256 MB"), AfterValidator(positive)]
MassRate = Annotated[float, *_quantity("mass rate", "0.27 kg/day"), AfterValidator(not_negative)]
PositivePressure = Annotated[float, *_quantity("pressure", "66.7 kPa"), AfterValidator(positive)]
PressureError = Annotated[float, *_quantity("pressure", "8 Pa"), AfterValidator(not_negative)]
TemperatureError = Annotated[float, *_quantity("temperature", "10 mK"), AfterValidator(_temperature_error)]
Density = Annotated[float, *_quantity("density", "690 kg/m3"), AfterValidator(positive)]
Expansion = Annotated[float, *_quantity("expansion", "0.12 %/K"), AfterValidator(not_negative)]
Fraction = Annotated[float, *_quantity("fraction", "5 %"), AfterValidator(not_negative)]


class Words(BaseModel):
    """A table of the rig file: unknown keys are refused, and nothing changes once it is read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True, allow_inf_nan=False
    )
