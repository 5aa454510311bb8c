"""What the models have to say about each transducer of a rig: address, range, registers, words of their own."""

from collections.abc import Callable, Mapping
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from drivers.model import Model
from drivers.rig import Register, Setting, Transducer
from drivers.rig_draft import Draft, Entry
from drivers.rig_problems import Findings, did_you_mean
from drivers.setting import limits
from drivers.toml_places import Path
from drivers.units import UnitError, unit_for

_OWN_WORDS: Final = ("channel", "current", "map", "serial_number", "settings")
_WORD_EXAMPLES: Final = {
    "channel": "channel = 1",
    "current": 'current = "4..20 mA"',
    "map": 'map.pressure = { address = 0, unit = "kPa" }',
    "range": 'range = "0..160 kPa"',
    "serial_number": "serial_number = 123456",
}


def check_models(draft: Draft, findings: Findings, models: Callable[[str], Model]) -> dict[str, Model]:
    """Report what does not suit the models; return them by transducer id, as far as they are known."""
    known = _load(draft, findings, models)
    for name, model in known.items():
        _check_transducer(draft.transducers[name], model, findings)
    return known


def _load(draft: Draft, findings: Findings, models: Callable[[str], Model]) -> dict[str, Model]:
    known = {}
    for name, each in draft.transducers.items():
        if not each.clear("model"):
            continue
        try:
            known[name] = models(each.words.model)
        except LookupError as error:
            findings.error((*each.path, "model"), str(error))
        except (ImportError, TypeError) as error:
            advice = "install or repair the package that offers it"
            findings.error((*each.path, "model"), f"model '{each.words.model}' cannot be loaded: {error}", advice)
    return known


def _check_transducer(each: Entry[Transducer], model: Model, findings: Findings) -> None:
    words, given = each.words, each.words.model_fields_set
    for word in _OWN_WORDS:
        if word in given and each.clear(word) and word not in model.takes | model.needs:
            own = ", ".join(sorted(model.takes | model.needs)) or "none"
            advice = f"take it out (words of its own: {own})"
            findings.error((*each.path, word), f"{model.name} has no use for '{word}'", advice, at="key")
    for word in sorted(model.needs):
        if each.clear(word) and getattr(words, word) is None:
            example = _WORD_EXAMPLES.get(word, "")
            findings.error((*each.path, word), f"{model.name} needs '{word}'", example and f"write {example}", at="key")
    if each.clear("unit") and words.unit not in model.units:
        message = f"unit {words.unit} is no address of {model.name}: it can have {_numbers(model.units)}"
        findings.error((*each.path, "unit"), message)
    if words.range and model.span and each.clear("range"):
        _check_range(each.path, words.range, model, findings)
    _check_registers(each, model, findings)
    if each.clear("options"):
        _check_options((*each.path, "options"), words.options, model, findings)


def _check_registers(each: Entry[Transducer], model: Model, findings: Findings) -> None:
    if each.clear("map"):
        for quantity, register in (each.words.map or {}).items():
            _check_register((*each.path, "map", quantity), quantity, register, model, findings)
    if each.clear("settings"):
        for name, setting in (each.words.settings or {}).items():
            _check_setting((*each.path, "settings", name), setting, findings)


def _check_range(path: Path, given: tuple[float, float], model: Model, findings: Findings) -> None:
    low, high = model.span or given
    if given[0] < low or given[1] > high:
        message = f"{model.name} cannot measure that range: its widest is {_kpa(low)}..{_kpa(high)} kPa"
        findings.error((*path, "range"), message)


def _check_register(path: Path, quantity: str, register: Register, model: Model, findings: Findings) -> None:
    if quantity not in model.quantities:
        hint = did_you_mean(quantity, model.quantities)
        advice = "" if hint else f"it measures {' and '.join(model.quantities)}"
        findings.error(path, f"{model.name} has no quantity '{quantity}'{hint}", advice, at="key")
        return
    if quantity == "contact":
        _check_contact(path, register, findings)
    elif "unit" not in register.model_fields_set:
        findings.error(
            (*path, "unit"), "missing key 'unit'", 'write what its value is in, such as unit = "kPa"', at="key"
        )
    elif register.of_bits or register.bit is not None:
        findings.error(path, f"a single bit is no {quantity}: functions 1 and 2 and 'bit' are for a contact", at="key")
    else:
        try:
            unit_for(register.unit, quantity)
        except UnitError as error:
            findings.error((*path, "unit"), f"unit: {error}")
    if register.valid is not None and register.valid[0] >= register.valid[1]:
        findings.error((*path, "valid"), "valid: the first number must be below the second")
    if register.address + register.count > 0x10000:
        findings.error((*path, "address"), f"a {register.type} does not fit there: registers end at 65535")


def _check_contact(path: Path, register: Register, findings: Findings) -> None:
    given = register.model_fields_set
    if "unit" in given:
        findings.error((*path, "unit"), "a contact has no unit: it is 1 while the hatch is open, else 0", at="key")
    if not register.of_bits and register.bit is None:
        advice = "write bit = 0 for the lowest one, or function = 2 for a discrete input"
        findings.error(path, "a contact is one bit, and a register has sixteen", advice, at="key")
    elif register.of_bits and (also := sorted(given & {"bit", "type", "order"})):
        message = f"function {register.function} reads single bits: '{also[0]}' says nothing"
        findings.error((*path, also[0]), message, "take it out", at="key")
    if (register.scale, register.offset) not in ((1.0, 0.0), (-1.0, 1.0)):
        findings.error(path, "a contact is 0 or 1: scale -1 with offset 1 turns it round, nothing else", at="key")


def _check_setting(path: Path, setting: Setting, findings: Findings) -> None:
    low, high = setting.range
    least, most = limits(setting)
    if low > high:
        findings.error((*path, "range"), "range: the first number must not be above the second")
    elif low < least or high > most:
        findings.error((*path, "range"), f"range: {setting.type} holds {least:.10g} to {most:.10g}")
    if setting.address + setting.count > 0x10000:
        findings.error((*path, "address"), f"a {setting.type} does not fit there: registers end at 65535")
    if setting.function == 6 and setting.count > 1:
        findings.error(
            (*path, "function"), f"function 6 writes one register, a {setting.type} needs {setting.count}: 16"
        )


def _check_options(path: Path, options: Mapping[str, object], model: Model, findings: Findings) -> None:
    if model.options is None:
        if options:
            findings.error(path, f"{model.name} has no options", "take them out", at="key")
        return
    try:
        model.options.model_validate(dict(options))
    except ValidationError as errors:
        for error in errors.errors(include_url=False):
            at = (*path, *error["loc"])
            findings.error(at, _option_message(str(at[-1]), error, model.options))


def _option_message(key: str, error: ErrorDetails, options: type[BaseModel]) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown option '{key}'{did_you_mean(key, options.model_fields)}"
    if error["type"] == "missing":
        return f"missing option '{key}'"
    return f"{key}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _numbers(units: range) -> str:
    return f"{units[0]}..{units[-1]}" if len(units) > 1 else str(units[0])


def _kpa(pressure_pa: float) -> str:
    return f"{pressure_pa / 1000:.6g}"
