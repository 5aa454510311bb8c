"""What `get` shows and `set` changes: segment.prk.pressure, hatch.zvezda--prk.state, transducer.sm_p1.offset.

Names are those of the rig file, values are in SI units. Setting is done by a deed, the same that a scenario would use.
"""

from collections.abc import Mapping
from typing import Any, Final

from drivers.rig import Rig
from drivers.rig_problems import did_you_mean
from firmware_sim.control import ControlError
from firmware_sim.physics.gas import GASES
from firmware_sim.physics.setting import VENTILATION_M3_S, Passage, Setting
from firmware_sim.physics.world import World

_AFTER_NS: Final = 1
"""What happens at a moment shows just after it."""
_HATCH_WORDS: Final = {"state": ("hatch", "state"), "seal": ("seal", "area"), "ventilation": ("ventilation", "flow")}
_SETTABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "segment": ("pressure", "temperature", *GASES),
    "hatch": tuple(_HATCH_WORDS),
    "transducer": ("offset", "drift", "stuck"),
}

Tree = dict[str, dict[str, dict[str, Any]]]


def look(world: World, rig: Rig, at_ns: int) -> Tree:
    """Return everything: kind -> id -> quantity -> value in SI units. Nothing that a transducer measures is drawn."""
    setting = world.setting(at_ns + _AFTER_NS)
    return {
        "segment": {name: _segment(world, name, at_ns + _AFTER_NS) for name in rig.segments},
        "hatch": {hatch.id: _hatch(setting, hatch.id) for hatch in rig.hatches},
        "coolant": {
            name: dict(zip(("pressure", "temperature"), world.loop(name).feel(at_ns + _AFTER_NS), strict=True))
            for name in rig.coolants
        },
        "opening": {
            name: {"segment": each.segment, "rate": each.kg_per_s, "power": each.power}
            for name, each in setting.openings.items()
        },
        "machine": {
            name: {"segment": each.segment, "on": each.on(at_ns + _AFTER_NS)} for name, each in setting.machines.items()
        },
        "transducer": {
            name: {"segment": words.segment, **_transducer(world, name, at_ns + _AFTER_NS)}
            for name, words in rig.transducers.items()
        },
    }


def find(tree: Tree, path: str) -> Any:
    """Return what stands at a path, which may end early; all of it for an empty one.

    Raises:
        ControlError: nothing stands there.
    """
    if not path:
        return tree
    kind, _, rest = path.partition(".")
    things = _member("kind of thing", kind, tree)
    if not rest or rest in things:
        return things[rest] if rest else things
    name, dot, quantity = rest.rpartition(".")
    if not dot:
        _member(kind, rest, things)
    return _member(f"quantity of {kind} {name}", quantity, _member(kind, name, things))


def deed_to_set(world: World, rig: Rig, path: str, value: object, at_ns: int) -> dict[str, Any]:
    """Return the words of the deed that sets the quantity at a path.

    Raises:
        ControlError: there is no such quantity, or it cannot be set.
    """
    kind, _, rest = path.partition(".")
    name, _, quantity = rest.rpartition(".")
    tree = look(world, rig, at_ns)
    find(tree, path)
    if quantity not in _SETTABLE.get(kind, ()) or name not in tree[kind]:
        can = "; ".join(f"{each}.ID.{'|'.join(quantities)}" for each, quantities in _SETTABLE.items())
        raise ControlError(f"'{path}' cannot be set; what can: {can}; everything else is a deed: do")
    if kind == "segment":
        return {"do": "air", "segment": name, quantity: value}
    if kind == "hatch":
        do, word = _HATCH_WORDS[quantity]
        between = next(hatch.between for hatch in rig.hatches if hatch.id == name)
        return {"do": do, "between": list(between), word: value}
    others = tree[kind][name]
    upset = {"offset": f"{others['offset']!r} Pa", "drift": f"{others['drift']!r} Pa/s", "stuck": others["stuck"]}
    return {"do": "sensor", "transducer": name, **upset, quantity: value}


def _segment(world: World, name: str, at_ns: int) -> dict[str, Any]:
    return {
        "pressure": world.pressure_pa(name, at_ns),
        "temperature": world.temperature_k(name, at_ns),
        "volume": world.volume_m3(name),
        **world.partial_pa(name, at_ns),
    }


def _hatch(setting: Setting, name: str) -> dict[str, Any]:
    return {
        "state": str(setting.passages.get(name, Passage.CLOSED)),
        "seal": setting.seals_m2.get(name, 0.0),
        "ventilation": setting.ventilation_m3_s.get(name, VENTILATION_M3_S),
    }


def _transducer(world: World, name: str, at_ns: int) -> dict[str, Any]:
    upset = world.upset_of(name, at_ns)
    return {
        "offset": upset.offset_pa + upset.drift_pa_per_s * (at_ns - upset.at_ns) * 1e-9,
        "drift": upset.drift_pa_per_s,
        "stuck": upset.stuck,
    }


def _member(kind: str, name: str, things: Mapping[str, Any]) -> Any:
    if name not in things:
        known = ", ".join(things) or "none"
        raise ControlError(f"no {kind} '{name}'{did_you_mean(name, things)} (known: {known})")
    return things[name]
