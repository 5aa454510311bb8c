"""Keeping the state of a graph of objects, and putting it back in place: the same objects, as they were.

What is kept belongs to the same objects afterwards, so callbacks, closures and references from outside stay right.
Every object that the roots lead to is taken, but for what is outside: the running loop, ports and their clients. Frozen
dataclasses of `firmware_sim.physics` and pydantic models are values: nothing in them ever changes.
"""

import enum
import functools
import itertools
import re
import struct
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from random import Random
from typing import Any, Final

import numpy as np
from pydantic import BaseModel

from firmware_sim import EmulatorError

_OUTSIDE: Final = (
    *("asyncio", "_asyncio", "concurrent", "selectors", "socket", "ssl", "threading", "_thread"),
    *(f"firmware_sim.{shell}" for shell in ("clock", "control", "events", "fleet", "ports", "trace")),
)
_VALUES: Final = (
    *(bool, bytes, complex, float, int, range, slice, str, type, types.NoneType, types.ModuleType, enum.Enum),
    *(re.Pattern, struct.Struct, PurePath, np.generic, np.dtype, BaseModel),
    itertools.count,  # only gives an order, which goes on
)
_CONTAINERS: Final = (bytearray, deque, dict, frozenset, list, set, tuple, types.MappingProxyType)
_PLAIN: Final = frozenset({bool, bytes, float, int, str, types.NoneType})
_PHYSICS: Final = "firmware_sim.physics"

_Restore = Callable[[], None]


class SnapshotError(EmulatorError):
    """Something holds state that cannot be kept; the message names its type and how it was reached."""


class Snapshot:
    """The state of everything that the roots lead to, as it was when this was made.

    Args:
        roots: name -> object.

    Raises:
        SnapshotError: something there cannot be kept.
    """

    def __init__(self, roots: Mapping[str, object]) -> None:
        self._restores: list[_Restore] = []
        seen: dict[int, object] = {}  # it holds them, so that no other object gets the same id
        waiting: list[tuple[str, object]] = list(roots.items())
        while waiting:
            where, thing = waiting.pop()
            if type(thing) not in _PLAIN and id(thing) not in seen:
                seen[id(thing)] = thing
                waiting += [(f"{where}{way}", each) for way, each in self._take(where, thing)]

    def put_back(self) -> None:
        """Let everything be as it was; can be done again and again."""
        for restore in self._restores:
            restore()

    def _take(self, where: str, thing: Any) -> Iterable[tuple[str, Any]]:
        """Keep what changes of one object; return where it leads to."""
        if _is_value(thing):
            return ()
        if (ways := _reference_ways(thing)) is not None:
            return ways
        ways = [*self._contents(thing), *self._attributes(thing)]
        known = isinstance(thing, _CONTAINERS) or self._random(thing) or hasattr(thing, "__dict__")
        if not known and type(thing) is not object and next(_slots(type(thing)), None) is None:
            kind = type(thing)
            raise SnapshotError(f"{where} is a {kind.__module__}.{kind.__qualname__}, whose state cannot be kept")
        return ways

    def _contents(self, thing: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(thing, dict | types.MappingProxyType):
            if isinstance(thing, dict):
                self._keep(thing, dict(thing))
            for key, value in thing.items():
                yield f"[{key!r}]", value
                yield " key", key
        elif isinstance(thing, _CONTAINERS):
            if not isinstance(thing, tuple | frozenset):
                self._keep(thing, tuple(thing))
            if not isinstance(thing, bytearray):
                yield from ((f"[{place}]", each) for place, each in enumerate(thing) if type(each) not in _PLAIN)

    def _attributes(self, thing: Any) -> Iterator[tuple[str, Any]]:
        attributes = getattr(thing, "__dict__", None)
        if isinstance(attributes, dict):
            self._keep(attributes, dict(attributes))
            yield from ((f".{name}", value) for name, value in attributes.items())
        for slot in _slots(type(thing)):
            yield from self._slot(slot, thing)

    def _random(self, thing: Any) -> bool:
        if isinstance(thing, Random):
            self._restores.append(functools.partial(thing.setstate, thing.getstate()))
        elif isinstance(thing, np.random.Generator):
            self._restores.append(functools.partial(setattr, thing.bit_generator, "state", thing.bit_generator.state))
        elif isinstance(thing, np.ndarray):
            self._restores.append(functools.partial(np.copyto, thing, thing.copy()))
        else:
            return False
        return True

    def _keep(self, container: Any, kept: Any) -> None:
        def restore() -> None:
            container.clear()
            (container.update if isinstance(container, dict | set) else container.extend)(kept)

        self._restores.append(restore)

    def _slot(self, slot: Any, thing: object) -> Iterator[tuple[str, Any]]:
        try:
            value = slot.__get__(thing)
        except AttributeError:  # not set yet
            self._restores.append(functools.partial(_unset, slot, thing))
            return
        self._restores.append(functools.partial(slot.__set__, thing, value))
        yield f".{slot.__name__}", value


def _is_value(thing: object) -> bool:
    kind = type(thing)
    if isinstance(thing, _VALUES) or kind.__module__.startswith(_OUTSIDE):
        return True
    parameters = getattr(kind, "__dataclass_params__", None)  # dataclasses has no public way to ask
    return parameters is not None and parameters.frozen and kind.__module__.startswith(_PHYSICS)


def _reference_ways(thing: Any) -> list[tuple[str, object]] | None:
    """Return what a function, a method or a weak reference leads to; None when it is none of them."""
    if isinstance(thing, weakref.ref):
        return [("()", thing())]
    if isinstance(thing, types.FunctionType):
        return [(f"()<{cell}>", each.cell_contents) for cell, each in enumerate(thing.__closure__ or ())]
    if isinstance(thing, types.MethodType | types.BuiltinFunctionType | types.MethodWrapperType):
        return [(".__self__", thing.__self__)]
    if isinstance(thing, functools.partial):
        return [("()", (thing.func, thing.args, thing.keywords))]
    if isinstance(
        thing, staticmethod | classmethod | property | types.MethodDescriptorType | types.WrapperDescriptorType
    ):
        return []
    return None


def _slots(kind: type) -> Iterator[Any]:
    for each in kind.__mro__:
        if each.__module__ != "builtins" and not each.__module__.startswith(("numpy", "random", "collections")):
            yield from (member for member in vars(each).values() if isinstance(member, types.MemberDescriptorType))


def _unset(slot: Any, thing: object) -> None:
    try:
        slot.__delete__(thing)
    except AttributeError:
        return
