"""The registers of one Modbus unit that a driver wants, read in as few questions as the wire makes worth while."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.blocks import (
    Block,
    Gather,
    Holes,
    cuts_between,
    gathers,
    halves,
    plan,
    question_cost,
    spare_counts,
    take,
    unused_counts,
)
from drivers.exchange import Ask, Attempt, Outcome, Request
from drivers.reading import Reason
from drivers.rig import Bus, Register
from drivers.wire.modbus import (
    BIT_READS,
    MOST_REGISTERS,
    READ_HOLDING,
    READ_INPUT,
    ModbusRequest,
    read_registers,
)

_NOT_READABLE: Final = (2, 3)  # illegal data address; illegal data value, for a count that a device does not take
_POLLS_UNTIL_NEXT_SEARCH: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Registers:
    """What one reading of all registers brought.

    Attributes:
        numbers: register values, unscaled, NaN where there is none; shape (registers,).
        failures: `Reason` codes of those that could not be read, NONE for the others, shape (registers,); None when all
            could be read.
        time_s, uncertainty_s: the middle and half the span of all answers.
    """

    numbers: NDArray[np.float64]
    failures: NDArray[np.uint8] | None
    time_s: float
    uncertainty_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One block with its question and the way its answer is taken apart."""

    block: Block
    request: ModbusRequest
    gathers: tuple[Gather, ...]


class RegisterReads:
    """Registers of one unit and the questions that bring them.

    A block that the unit refuses is halved until the registers to blame are found. They are left out from then on,
    until `forget`; they fail with EXCEPTION, all others do not. Of a unit that refuses everything nothing is learned,
    and the search is repeated seldom.

    Attributes:
        fences: two reads whose answers no other read of this unit can bring.
    """

    def __init__(self, unit: int, registers: tuple[Register, ...], bus: Bus) -> None:
        self._unit = unit
        self._registers = registers
        self._cost = question_cost(bus)
        self._made: dict[Block, _Part] = {}
        self._polls = 0
        self._search_at: dict[Block, int] = {}
        self._holes = Holes()
        self._parts = self._plan()
        self.fences: tuple[Request, ...] = self._fences()

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
        """Choose reads with answers of their own; the other function's, value or refusal, are nobody else's.

        One only of that function: if the device has it not, all its refusals are equal. Where every count of registers
        is in use, a longer read of our own function goes with it: readable or not, it is answered.
        """
        blocks = [part.block for part in self._parts]
        block = next((each for each in blocks if each.function not in BIT_READS), blocks[0])
        if block.function in BIT_READS:  # bits only: what no bits can be, and more bytes of them than any block has
            end = max(each.end for each in blocks if each.function == block.function)
            longer = min(end - block.address + 8, MOST_REGISTERS, 0x10000 - block.address)
            return (
                read_registers(self._unit, READ_HOLDING, 0, 1),
                read_registers(self._unit, block.function, block.address, longer),
            )
        counts = spare_counts(self._registers, block, blocks)
        other = READ_INPUT if block.function == READ_HOLDING else READ_HOLDING
        reads = [(block.function, count) for count in counts]
        reads += [(other, count) for count in unused_counts(self._registers, other)][:1]
        reads += [(block.function, count) for count in unused_counts(self._registers, block.function)]
        return tuple(
            read_registers(self._unit, function, min(block.address, 0x10000 - count), count)
            for function, count in reads[:2]
        )

    def forget(self) -> None:
        """Forget what was refused: the device may be another one now."""
        self._holes = Holes()
        self._search_at.clear()
        self._parts = self._plan()

    async def read(self, ask: Ask) -> Registers:
        """Read all blocks; the time is that of the blocks that were answered."""
        self._polls += 1
        answers: list[tuple[_Part, Attempt]] = []
        for part in self._parts:
            if answers and answers[-1][1].outcome is Outcome.TIMEOUT:
                # the bus has tried more than once: each further block of a dead unit would cost the line as much again
                answers.append((part, answers[-1][1]))
                continue
            attempt = await ask(part.request)
            if _is_refused(attempt):
                answers += await self._in_parts(ask, part, attempt)
            else:
                self._search_at.pop(part.block, None)
                answers.append((part, attempt))
        told = [each for each in answers if each[1].outcome is Outcome.REPLY]
        whole = len(told) == len(answers) and not self._holes.unreadable
        numbers = np.empty(len(self._registers))
        failures = None
        if not whole:
            numbers.fill(np.nan)
            failures = self._failures(answers)
        with np.errstate(invalid="ignore"):
            for part, attempt in told:
                take(part.gathers, attempt.frame, numbers)
        timed = told or answers[-1:]
        start_s = min([attempt.sent_s for _, attempt in timed])
        end_s = max([attempt.answered_s for _, attempt in timed])
        return Registers(
            numbers=numbers, failures=failures, time_s=(start_s + end_s) / 2, uncertainty_s=(end_s - start_s) / 2
        )

    def _failures(self, answers: list[tuple[_Part, Attempt]]) -> NDArray[np.uint8]:
        """Return for each register the reason of its block's attempt; those left out of the plan were refused."""
        failures = np.full(len(self._registers), Reason.EXCEPTION, dtype=np.uint8)
        for part, attempt in answers:
            failures[list(part.block.members)] = attempt.outcome.reason
        return failures

    async def _in_parts(self, ask: Ask, part: _Part, refused: Attempt) -> list[tuple[_Part, Attempt]]:
        """Ask for the parts of a block that was refused, unless it was searched in vain a short while ago."""
        if len(part.block.members) == 1 or self._polls < self._search_at.get(part.block, 0):
            return [(part, refused)]
        cuts: set[tuple[int, int]] = set()
        found = await self._search(ask, part.block, cuts)
        self._learn(part.block, found, cuts)
        return found

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
