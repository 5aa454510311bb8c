"""How the tables of a rig file must fit each other, whatever the models are: names, hatches, ports, dates."""

import datetime as dt
import re
from typing import Final

from drivers.rig import Bus, BusKind
from drivers.rig_draft import Draft, Entry
from drivers.rig_problems import Findings, did_you_mean
from drivers.toml_places import Path

_HOST_AND_PORT: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(\d+)")
_MINI_UART: Final = "/dev/ttyS0"
_USUAL_PORT: Final = {
    BusKind.MODBUS_TCP: 502,
    BusKind.RTU_OVER_TCP: 4196,
    BusKind.LINE_OVER_TCP: 4001,
    BusKind.LINE_OVER_UDP: 1025,
}


def check_words(draft: Draft, findings: Findings, today: dt.date) -> None:
    """Report what does not fit, except what only a transducer's model knows."""
    _check_names(draft, findings)
    _check_hatches(draft, findings)
    _check_contacts(draft, findings)
    for bus in draft.buses.values():
        _check_port(bus, findings)
    _check_ports_apart(draft, findings)
    _check_calibrations(draft, findings, today)
    _check_unused(draft, findings)
    _check_volumes(draft, findings)


def _check_names(draft: Draft, findings: Findings) -> None:
    for each in draft.transducers.values():
        place = "segment" if each.words.coolant is None else "coolant"
        for section, name in (("bus", each.words.bus), (place, each.words.segment)):
            if each.clear(section, "coolant") or (section == "bus" and each.clear("bus")):
                _check_name(section, name, (*each.path, section), draft, findings)
    for name, loop in draft.coolants.items():
        if name in draft.segments:
            line = findings.line_of(draft.segments[name].path)
            findings.error(
                loop.path, f"a segment is called '{name}' already (line {line})", "both would have one topic", at="key"
            )
        stroke = loop.words.stroke
        if loop.clear("stroke", "volume") and stroke is not None and stroke > loop.words.volume:
            findings.error((*loop.path, "stroke"), "stroke: the spring cannot press out more liquid than there is")
    for hatch in draft.hatches:
        if hatch.clear("between"):
            for index, end in enumerate(hatch.words.between):
                _check_name("segment", end, (*hatch.path, "between", index), draft, findings)


def _check_name(section: str, name: str, path: Path, draft: Draft, findings: Findings) -> None:
    known = draft.named[section]
    if known is None or name in known:
        return
    hint = "" if findings.many else did_you_mean(name, known)
    advice = ""
    if not known:
        advice = f"there is none yet: add [{section}.{name}]"
    elif not hint and not findings.many:
        advice = f"there are: {', '.join(sorted(known))}"
    findings.error(path, f"no {section} named '{name}'{hint}", advice)


def _check_hatches(draft: Draft, findings: Findings) -> None:
    seen: dict[frozenset[str], Path] = {}
    for hatch in draft.hatches:
        if not hatch.clear("between"):
            continue
        ends = frozenset(hatch.words.between)
        path = (*hatch.path, "between")
        if len(ends) == 1:
            findings.error(path, "a hatch joins two different segments")
        elif ends in seen:
            line = findings.line_of(seen[ends])
            findings.error(path, f"this hatch is in line {line} already", "take one of the two out")
        else:
            seen[ends] = path


def _check_contacts(draft: Draft, findings: Findings) -> None:
    """Report hatches whose contact is no contact, or that of another one; and contacts that no hatch names."""
    seen: dict[str, Path] = {}
    for hatch in draft.hatches:
        name, path = hatch.words.contact, (*hatch.path, "contact")
        if name is None or not hatch.clear("contact"):
            continue
        _check_name("transducer", name, path, draft, findings)
        each = draft.transducers.get(name)
        if each is not None and each.clear("map") and "contact" not in (each.words.map or {}):
            advice = f"write map.contact = {{ function = 2, address = 0 }} in [transducer.{name}]"
            findings.error(path, f"transducer '{name}' has no contact", advice)
        if name in seen:
            findings.error(
                path, f"transducer '{name}' is the contact of the hatch in line {findings.line_of(seen[name])}"
            )
        seen[name] = path
    for name, each in draft.transducers.items():
        if each.clear("map") and "contact" in (each.words.map or {}) and name not in seen:
            advice = f'write contact = "{name}" in its [[hatch]]'
            findings.warning((*each.path, "map", "contact"), "this contact is at no hatch", advice, at="key")


def _check_port(bus: Entry[Bus], findings: Findings) -> None:
    if not bus.clear("kind", "port"):
        return
    words, path = bus.words, (*bus.path, "port")
    match = _HOST_AND_PORT.fullmatch(words.port)
    if words.kind is BusKind.SERIAL:
        if match and not words.port.startswith("/"):
            findings.error(
                path,
                f"'{words.port}' is a network address, but kind is \"serial\"",
                'write a device such as "/dev/serial/by-id/..." (`manovac ports` lists them), or another kind',
            )
        elif words.port == _MINI_UART and words.format[1] != "N" and bus.clear("format"):
            findings.warning(
                path,
                f"{_MINI_UART} of a Raspberry Pi is its mini-UART, which cannot do parity ({words.format})",
                "use the other UART (dtoverlay=disable-bt, /dev/ttyAMA0) or a USB adapter",
            )
        return
    if match is None:
        example = f'write "{words.port.rstrip(":")}:{_USUAL_PORT[words.kind]}"' if _is_host(words.port) else ""
        message = "needs a port number" if example else f"'{words.port}' is not host:port"
        findings.error(path, f"port: {message}", example or 'write host and number, such as "192.0.2.7:502"')
    elif not 0 < int(match[1]) <= 0xFFFF:
        findings.error(path, f"port: {match[1]} is no port number: they go from 1 to 65535")


def _is_host(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9._-]+:?", text) is not None


def _check_ports_apart(draft: Draft, findings: Findings) -> None:
    seen: dict[str, str] = {}
    for name, bus in draft.buses.items():
        if not bus.clear("port"):
            continue
        port = bus.words.port if bus.words.port.startswith("/") else bus.words.port.lower()
        if port in seen:
            line = findings.line_of((*draft.buses[seen[port]].path, "port"))
            findings.error(
                (*bus.path, "port"),
                f"bus '{seen[port]}' (line {line}) has this port already",
                "a port carries one bus: put the transducers of both on it, or give this one another port",
            )
        else:
            seen[port] = name


def _check_calibrations(draft: Draft, findings: Findings, today: dt.date) -> None:
    for each in draft.transducers.values():
        calibration = each.words.calibration
        if calibration is None or not each.clear("calibration"):
            continue
        path = (*each.path, "calibration")
        if calibration.polynomial is not None and calibration.table is not None:
            findings.error((*path, "table"), "calibration: give either polynomial or table", at="key")
        if calibration.date and calibration.due and calibration.due < calibration.date:
            findings.error((*path, "due"), f"calibration: due before its date, {calibration.date}")
        elif calibration.due is not None and calibration.due < today:
            findings.warning(
                (*path, "due"),
                f"calibration was due {(today - calibration.due).days} days ago",
                "its readings are graded uncertain; calibrate it and write the new date",
            )


def _check_unused(draft: Draft, findings: Findings) -> None:
    advice = {
        "bus": "add one or take the bus out",
        "segment": "its pressure is known only while an open hatch joins it to one that has",
        "coolant": "nothing watches this loop: add one or take the loop out",
    }
    for section, entries in (("bus", draft.buses), ("segment", draft.segments), ("coolant", draft.coolants)):
        transducers = [
            each
            for each in draft.transducers.values()
            if section == "bus" or (section == "coolant") == (each.words.coolant is not None)
        ]
        used = {getattr(each.words, section) for each in transducers}
        if not used <= entries.keys() or not all(each.clear(section) for each in transducers):
            continue  # a transducer names something else: that one may be meant
        for name, entry in entries.items():
            if name not in used:
                findings.warning(entry.path, f"{section} '{name}' has no transducer", advice[section], at="key")


def _check_volumes(draft: Draft, findings: Findings) -> None:
    """Report volumes that are missing beside others: one is enough, and no leak is searched for."""
    if not any(each.words.volume for each in draft.segments.values()):
        return
    for name, entry in draft.segments.items():
        if entry.clear("volume") and entry.words.volume is None:
            findings.warning(
                entry.path,
                f"segment '{name}' has no volume",
                'no leak there has a rate in kg/day, and none is searched for in the station: write volume = "12 m3"',
                at="key",
            )
