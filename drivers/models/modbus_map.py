"""Any Modbus device, described by the register map in the rig file: quantity -> where it is and what it means.

The cheap RS-485 transmitters are read this way: makers change addresses and unit codes between revisions, so nothing is
guessed from the device (the `generic-int` and `generic-float` maps in the examples are two revisions of one product).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.blocks import Block, Gather, Holes, cuts_between, gathers, halves, plan, question_cost, spare_counts, take
from drivers.exchange import Ask, Attempt, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import MODBUS_KINDS, USUAL_BAUDS, strike_non_finite
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Register, Transducer
from drivers.units import unit as unit_of
from drivers.wire.modbus import READ_HOLDING, READ_INPUT, ModbusRequest, read_registers

_NOT_READABLE: Final = (2, 3)  # illegal data address; illegal data value, for a count that a device does not take
_POLLS_UNTIL_NEXT_SEARCH: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One block with its question and the way its answer is taken apart."""

    block: Block
    request: ModbusRequest
    gathers: tuple[Gather, ...]


class ModbusMap:
    """All mapped registers of one unit; a `drivers.model.Driver`.

    A block that the unit refuses is halved until the registers to blame are found. They are left out from then on,
    until the unit is identified anew; their channels are bad (EXCEPTION), all others good. Of a unit that refuses
    everything nothing is learned, and the search is repeated seldom.
    """

    def __init__(self, unit: int, transducers: Mapping[str, Transducer], bus: Bus) -> None:
        mapped = [
            (Channel(transducer=name, quantity=quantity, unit=unit_of(register.unit, quantity)), register)
            for name, words in transducers.items()
            for quantity, register in (words.map or {}).items()
        ]
        if not mapped:
            raise ValueError(f"transducer {', '.join(transducers)}: needs a map with at least one quantity")
        self._unit = unit
        self._registers = tuple(register for _, register in mapped)
        self._scaling = _Scaling(self._registers)
        self._cost = question_cost(bus)
        self._made: dict[Block, _Part] = {}
        self._polls = 0
        self._search_at: dict[Block, int] = {}
        self._holes = Holes()
        self._parts = self._plan()
        self.channels = tuple(channel for channel, _ in mapped)
        self.fences = self._fences()

    @property
    def requests(self) -> tuple[Request, ...]:
        """The questions of the next poll; fewer or more when holes are learned."""
        return tuple(part.request for part in self._parts)

    def _plan(self) -> tuple[_Part, ...]:
        return tuple(self._part(block) for block in plan(self._registers, self._cost, self._holes))

    def _part(self, block: Block) -> _Part:
        """Return the part of a block, always the same one: a bus knows a question that it asks again."""
        if block not in self._made:
            request = read_registers(self._unit, block.function, block.address, block.count)
            self._made[block] = _Part(block=block, request=request, gathers=gathers(block, self._registers))
        return self._made[block]

    def _fences(self) -> tuple[Request, ...]:
        """Choose reads with answers of their own; the other function's, value or refusal, are nobody else's."""
        block = self._parts[0].block
        counts = spare_counts(self._registers, block, [part.block for part in self._parts])
        other = READ_INPUT if block.function == READ_HOLDING else READ_HOLDING
        taken = {part.block.count for part in self._parts if part.block.function == other}
        reads = [(block.function, count) for count in counts]
        reads += [(other, count) for count in range(1, 126) if count not in taken][:2]
        return tuple(read_registers(self._unit, function, block.address, count) for function, count in reads[:2])

    async def identify(self, ask: Ask) -> Identity:  # noqa: ARG002 - a map knows no register that says who answers
        """Forget what was refused: the device may be another one now. Nothing is asked."""
        self._holes = Holes()
        self._search_at.clear()
        self._parts = self._plan()
        return Identity(text="Modbus device, by register map")

    async def poll(self, ask: Ask) -> RawPoll:
        """Read all blocks; each channel's reason is that of its own block."""
        self._polls += 1
        answers: list[tuple[_Part, Attempt]] = []
        for part in self._parts:
            answers += await self._read(ask, part)
        numbers = np.full(len(self.channels), np.nan)
        for part, attempt in answers:
            if attempt.outcome is Outcome.REPLY:
                take(part.gathers, attempt.frame, numbers)
        values, reasons = self._scaling.grade(numbers)
        told = [attempt for _, attempt in answers if attempt.outcome is Outcome.REPLY]
        if len(told) < len(answers) or self._holes.unreadable:
            reasons = self._with_failures(answers, reasons)
        told = told or [answers[-1][1]]
        start_s = min(attempt.sent_s for attempt in told)
        end_s = max(attempt.answered_s for attempt in told)
        return RawPoll(
            channels=self.channels,
            values=values,
            reasons=reasons,
            time_s=(start_s + end_s) / 2,
            uncertainty_s=(end_s - start_s) / 2,
        )

    def _with_failures(self, answers: list[tuple[_Part, Attempt]], reasons: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give each channel the reason of its block's attempt; those left out of the plan were refused."""
        failures = np.full(len(self.channels), Reason.EXCEPTION, dtype=np.uint8)
        for part, attempt in answers:
            failures[list(part.block.members)] = attempt.outcome.reason
        return np.where(failures != Reason.NONE, failures, reasons)

    async def _read(self, ask: Ask, part: _Part) -> list[tuple[_Part, Attempt]]:
        """Ask for one block, and for its parts when it is refused."""
        attempt = await ask(part.request)
        if not _is_refused(attempt):
            self._search_at.pop(part.block, None)
        elif len(part.block.members) > 1 and self._polls >= self._search_at.get(part.block, 0):
            cuts: set[tuple[int, int]] = set()
            found = await self._search(ask, part.block, cuts)
            self._learn(part.block, found, cuts)
            return found
        return [(part, attempt)]

    async def _search(self, ask: Ask, block: Block, cuts: set[tuple[int, int]]) -> list[tuple[_Part, Attempt]]:
        """Read a refused block in halves; note where it must be cut although both sides can be read."""
        pair = [self._part(half) for half in halves(block, self._registers)]
        answers = [(part, await ask(part.request)) for part in pair]
        if all(attempt.outcome is Outcome.REPLY for _, attempt in answers):
            cuts |= cuts_between(pair[0].block, pair[1].block)
        found: list[tuple[_Part, Attempt]] = []
        for part, attempt in answers:
            if _is_refused(attempt) and len(part.block.members) > 1:
                found += await self._search(ask, part.block, cuts)
            else:
                found.append((part, attempt))
        return found

    def _learn(self, block: Block, found: list[tuple[_Part, Attempt]], cuts: set[tuple[int, int]]) -> None:
        if not any(attempt.outcome is Outcome.REPLY for _, attempt in found):
            self._search_at[block] = self._polls + _POLLS_UNTIL_NEXT_SEARCH
            return
        blamed = {member for part, attempt in found if _is_refused(attempt) for member in part.block.members}
        self._holes = Holes(unreadable=self._holes.unreadable | blamed, cuts=self._holes.cuts | cuts)
        self._parts = self._plan()


def _is_refused(attempt: Attempt) -> bool:
    return attempt.outcome is Outcome.EXCEPTION and attempt.code in _NOT_READABLE


class _Scaling:
    """From register values to values in the channels' units, with the map's rules of validity; all channels at once."""

    def __init__(self, registers: tuple[Register, ...]) -> None:
        self._scale = np.array([register.scale for register in registers])
        self._offset = np.array([register.offset for register in registers])
        limits = [register.valid or (-np.inf, np.inf) for register in registers]
        self._low, self._high = np.array(limits, dtype=np.float64).T
        codes = [
            (place, _as_read(code, register)) for place, register in enumerate(registers) for code in register.invalid
        ]
        self._coded = np.array([place for place, _ in codes], dtype=np.intp)
        self._codes = np.array([code for _, code in codes], dtype=np.float64)

    def grade(self, numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return values (NaN where there is none) and reasons of register values, all of shape (channels,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = numbers * self._scale + self._offset
        reasons = strike_non_finite(values)
        reasons[(values < self._low) | (values > self._high)] = Reason.OUT_OF_RANGE
        if self._codes.size:
            reasons[self._coded[numbers[self._coded] == self._codes]] = Reason.SENSOR_FAILURE
        values[reasons != Reason.NONE] = np.nan
        return values, reasons


def _as_read(code: int, register: Register) -> float:
    """Return an `invalid` code as the register's type gives it: 0x8000 and -32768 are one in an int16."""
    if register.type.startswith("float"):
        return float(code)
    bits = 16 * register.count
    code &= (1 << bits) - 1
    return float(code - (1 << bits) if register.type.startswith("int") and code >> (bits - 1) else code)


MODEL: Final = Model(
    name="modbus-map",
    title="any Modbus device, by the register map in the rig file",
    kinds=MODBUS_KINDS,
    bauds=USUAL_BAUDS,
    formats=frozenset({"8N1", "8E1", "8O1", "8N2"}),
    units=range(1, 256),
    quantities=("pressure", "temperature"),
    span=None,
    driver=ModbusMap,
    takes=frozenset({"map"}),
    needs=frozenset({"map"}),
    shares_unit=True,
)
