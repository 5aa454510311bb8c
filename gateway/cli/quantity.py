"""Options with a unit."""

import math

from drivers.units import UnitError, parse_quantity
from gateway.cli import USAGE, CommandError


def above_zero(option: str, text: str, dimension: str, *, below: float = math.inf) -> float:
    """Return the value of an option in SI units.

    Args:
        option: its name, for the message.
        text: as it was typed, such as "5 kg".
        dimension: of `drivers.units`.
        below: the value must be less, in SI units.

    Raises:
        CommandError: it is no such quantity, or not in that range.
    """
    try:
        value = parse_quantity(text, dimension)
    except UnitError as problem:
        if dimension == "fraction" and math.isfinite(below):
            raise CommandError(
                f'{option} {text}: write a percentage below {below:.0%}, such as "1 %"', USAGE
            ) from problem
        raise CommandError(f"{option} {text}: {problem}", USAGE) from problem
    if not 0 < value < below:
        most = f"{below:.0%}" if dimension == "fraction" else f"{below:g}"
        limit = "" if math.isinf(below) else f" and below {most}"
        raise CommandError(f"{option} {text}: must be greater than zero{limit}", USAGE)
    return value
