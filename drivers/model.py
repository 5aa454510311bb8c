"""The seam between the rig and a transducer family: `Model` (what it is) and `Driver` (one unit of it on a bus)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from drivers.exchange import Ask, Quiet, Request
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, BusKind, Transducer


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who answered.

    Attributes:
        text: for people: maker, type, firmware.
        serial_number: as the device gives it, None when it has none.
        reason: NONE when it is who the rig file expects; IDENTITY_MISMATCH when it is somebody else; otherwise why
            nobody could be asked (asked again at the next poll).
    """

    text: str = ""
    serial_number: str | None = None
    reason: Reason = Reason.NONE


class Driver(Protocol):
    """One unit on a bus: asks, decodes, grades. Knows nothing of transports, clocks or other units.

    Attributes:
        channels: what each poll brings, in this order.
        requests: the questions of a usual poll, for the schedule and for line use.
        fences: at least two questions, cheap, whose answers differ in kind from each other's and from those of
            `requests`; the bus asks one after a doubtful attempt, because its answer proves that older ones are over.
            For a device that is alone on its line and knows one question only: how long it must be quiet instead.
    """

    @property
    def channels(self) -> tuple[Channel, ...]: ...
    @property
    def requests(self) -> tuple[Request, ...]: ...
    @property
    def fences(self) -> tuple[Request, ...] | Quiet: ...

    async def identify(self, ask: Ask) -> Identity:
        """Prepare the device (formats, echo off) and learn who it is."""
        ...

    async def poll(self, ask: Ask) -> RawPoll:
        """Read all channels once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A transducer family, as `manovac check` and the registry see it.

    Attributes:
        kinds, bauds, formats: what lines it can be on.
        units: addresses it can have.
        quantities: what it measures.
        span: Pa, the widest range that exists in the family, None when any.
        takes, needs: rig words of this model beyond the common ones ("channel", "current", "map", "serial_number").
        alone: it has no address, so nothing else can be on its line.
        shares_unit: several transducers can stand on one unit (inputs of one device).
        options: what `[transducer.x.options]` must fit, None when the model has none.
        driver: makes the driver of one unit from all its transducers (id -> words).
        protocol, faults, identity, unconfirmed: for people who choose one: what it speaks, how it says that there is no
            value, how it says who it is, and what no document confirms, so that nothing here relies on it.
        hail: a question that a unit of this family answers with who it is, None when there is none.
        recognise: turns the answer to `hail` into who it is; None when it is another family's.
    """

    name: str
    title: str
    kinds: frozenset[BusKind]
    bauds: frozenset[int]
    formats: frozenset[str]
    units: range
    quantities: tuple[str, ...]
    span: tuple[float, float] | None
    driver: Callable[[int, Mapping[str, Transducer], Bus], Driver]
    protocol: str = ""
    faults: str = ""
    identity: str = ""
    unconfirmed: str = ""
    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    alone: bool = False
    shares_unit: bool = False
    options: type[BaseModel] | None = None
    hail: Callable[[int], Request] | None = None
    recognise: Callable[[bytes], str | None] | None = None
