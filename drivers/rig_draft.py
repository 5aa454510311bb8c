"""The rig as far as its file can be understood, so that one wrong key does not hide what is wrong elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from drivers.rig import Bus, Coolant, Hatch, Rig, Segment, Transducer
from drivers.rig_fields import Fields, validated
from drivers.rig_gateway import Mqtt
from drivers.toml_places import Path

Words = TypeVar("Words", bound=BaseModel)

_STAND_INS: Final[Mapping[str, Mapping[str, object]]] = {
    "station": {"id": "-", "gateway": "-"},
    "segment": {},
    "coolant": {"volume": "1 m3", "gas_volume": "1 m3", "pressure": "1 kPa"},
    "hatch": {"between": ["-", "-"]},
    "bus": {"kind": "serial", "port": "-"},
    "transducer": {"model": "-", "bus": "-", "segment": "-"},
    "mqtt": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[Words]):
    """One table of the file.

    Attributes:
        path: where it stands.
        words: its keys; those in `unclear` have a default or a stand-in.
        unclear: keys that are missing, unusable, or probably meant by a misspelt one.
    """

    path: Path
    words: Words
    unclear: frozenset[str]

    def clear(self, *keys: str) -> bool:
        """Say whether those keys can be relied on."""
        return self.unclear.isdisjoint(keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All tables that are tables.

    Attributes:
        named: ids that the file gives to segments, coolant loops, buses and transducers, usable or not; None when that
            part of the file is itself unclear, so that nothing can be said of a name.
    """

    segments: Mapping[str, Entry[Segment]]
    coolants: Mapping[str, Entry[Coolant]]
    hatches: tuple[Entry[Hatch], ...]
    buses: Mapping[str, Entry[Bus]]
    transducers: Mapping[str, Entry[Transducer]]
    mqtt: Entry[Mqtt] | None
    named: Mapping[str, frozenset[str] | None]


def draft(raw: Mapping[str, Any], fields: Fields) -> Draft:
    """Return what can be understood of a parsed file."""
    kept: dict[str, Any] = {"station": _STAND_INS["station"]}
    unclear: dict[Path, frozenset[str]] = {}
    wrong = _wrong_keys(fields)
    for section in ("segment", "coolant", "bus", "transducer"):
        tables = raw.get(section, {})
        kept[section] = {}
        for name, table in tables.items() if isinstance(tables, dict) else ():
            path = (section, name)
            if isinstance(table, dict) and path not in fields.bad:
                unclear[path] = frozenset(wrong.get(path, ()))
                kept[section][name] = _usable(section, table, unclear[path])
    hatches = raw.get("hatch", [])
    kept["hatch"] = []
    for index, table in enumerate(hatches if isinstance(hatches, list) else []):
        path = ("hatch", index)
        if isinstance(table, dict):
            unclear[path] = frozenset(wrong.get(path, ()))
            kept["hatch"].append(_usable("hatch", table, unclear[path]))
    mqtt = raw.get("mqtt", {})
    if isinstance(mqtt, dict):
        unclear["mqtt",] = frozenset(wrong.get(("mqtt",), ()))
        kept["mqtt"] = _usable("mqtt", mqtt, unclear["mqtt",])
    return _drafted(validated(kept), unclear, {section: _named(section, raw, fields) for section in _STAND_INS})


def _drafted(rig: Rig, unclear: Mapping[Path, frozenset[str]], named: Mapping[str, frozenset[str] | None]) -> Draft:
    def entries(section: str, tables: Mapping[str, Words]) -> dict[str, Entry[Words]]:
        return {
            name: Entry(path=(section, name), words=words, unclear=unclear[section, name])
            for name, words in tables.items()
        }

    hatches = zip([path for path in unclear if path[0] == "hatch"], rig.hatches, strict=True)
    return Draft(
        segments=entries("segment", rig.segments),
        coolants=entries("coolant", rig.coolants),
        hatches=tuple(Entry(path=path, words=words, unclear=unclear[path]) for path, words in hatches),
        buses=entries("bus", rig.buses),
        transducers=entries("transducer", rig.transducers),
        mqtt=Entry(path=("mqtt",), words=rig.mqtt, unclear=unclear["mqtt",]) if ("mqtt",) in unclear else None,
        named=named,
    )


def _wrong_keys(fields: Fields) -> dict[Path, set[str]]:
    """Return the keys within which something is wrong, by table."""
    wrong: dict[Path, set[str]] = {}
    for path in fields.bad:
        for depth, key in enumerate(path):
            wrong.setdefault(path[:depth], set()).add(str(key))
    return wrong


def _usable(section: str, table: Mapping[str, Any], unclear: frozenset[str]) -> dict[str, Any]:
    usable = {key: value for key, value in table.items() if key not in unclear}
    instead = {"segment"} if "coolant" in usable else set()
    return {**{key: value for key, value in _STAND_INS[section].items() if key not in instead}, **usable}


def _named(section: str, raw: Mapping[str, Any], fields: Fields) -> frozenset[str] | None:
    tables = raw.get(section, {})
    return frozenset(tables) if isinstance(tables, dict) and (section,) not in fields.bad else None
