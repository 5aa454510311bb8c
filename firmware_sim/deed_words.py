"""Deeds from their words, as a scenario file or live control has them, and what is wrong with such words."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from drivers.rig_problems import did_you_mean
from firmware_sim import EmulatorError
from firmware_sim.deeds import DEEDS, Deed


class DeedError(EmulatorError, ValueError):
    """Words that are no deed; the message has every mistake."""


def read_deed(words: Mapping[str, Any]) -> Deed:
    """Make a deed of its words, such as {"do": "hole", "segment": "prk", "diameter": "2 mm"}; `at` may be missing.

    Raises:
        DeedError: it is none.
    """
    model = DEEDS.get(do) if isinstance(do := words.get("do"), str) else None
    if model is None:
        raise DeedError(no_such_deed(do))
    try:
        return model.model_validate({"at": "0 s", **words})
    except ValidationError as error:
        raise DeedError(f"{do}: " + "; ".join(message for _, message in mistakes(model, error))) from None


def no_such_deed(do: object) -> str:
    """Return what is wrong with a `do` that names no deed."""
    if not isinstance(do, str):
        return f"an event needs `do`: one of {', '.join(DEEDS)}"
    return f"nothing is called '{do}'{did_you_mean(do, DEEDS)} (known: {', '.join(DEEDS)})"


def mistakes(model: type[BaseModel], error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield each mistake as (the key that is wrong and stands there, else empty; message)."""
    known = list(model.model_fields)
    for each in error.errors(include_url=False):
        key = next((part for part in each["loc"] if isinstance(part, str)), "")
        if each["type"] == "missing":
            yield "", f"missing key '{key}'"
        elif each["type"] == "extra_forbidden":
            hint = did_you_mean(key, known) or f" (known: {', '.join(known)})"
            yield key, f"unknown key '{key}'{hint}"
        else:
            yield key, f"{key}: {_message(each['msg'])}".removeprefix(": ")


def _message(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text if text.startswith("'") else text[:1].lower() + text[1:]
