"""Which registers of a Modbus unit to read together, and how a block's bytes become numbers. Pure.

Two channels share a block when reading the registers between them costs less on the wire than another question. What a
device refuses to read is learned as `Holes`; the plan leaves it out from then on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.columns import Columns, columns
from drivers.rig import Bus, BusKind, Register
from drivers.wire.modbus import BIT_READS, MOST_REGISTERS, PAYLOAD_AT

_CHARACTERS_A_REGISTER: Final = 2
_FRAME_CHARACTERS: Final = 8 + 5  # a question, and what an answer has beside its registers
_TCP_PACKETS: Final = 2 * (38 + 40) + 12 + 9  # two Ethernet frames (gap, preamble, IP, TCP), question, answer's heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Registers read at once.

    Attributes:
        members: the channels in it (their places in the unit's list), by rising address.
    """

    function: int
    address: int
    count: int
    members: tuple[int, ...]

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """What a unit refused to read.

    Attributes:
        unreadable: channels (places in the unit's list) that it refused by themselves.
        cuts: (function, address): it refused a block across that address, though not its parts.
    """

    unreadable: frozenset[int] = frozenset()
    cuts: frozenset[tuple[int, int]] = frozenset()


def question_cost(bus: Bus) -> float:
    """Return what one more question costs on that bus beside its registers, in characters."""
    if bus.kind is BusKind.MODBUS_TCP:
        return _TCP_PACKETS
    return _FRAME_CHARACTERS + 2 * (bus.silence_s + bus.guard) / bus.character_s


def plan(registers: Sequence[Register], cost: float, holes: Holes) -> tuple[Block, ...]:
    """Return the cheapest blocks that bring all readable channels, each in exactly one block.

    Args:
        registers: where each channel is.
        cost: of a question, in characters, as from `question_cost`.
        holes: what is not to be read.
    """
    blocks: list[Block] = []
    for function in sorted({register.function for register in registers}):
        places = [place for place, register in enumerate(registers) if register.function == function]
        members = sorted(
            (place for place in places if place not in holes.unreadable),
            key=lambda place: (registers[place].address, registers[place].count),
        )
        avoid = {
            address
            for place in places
            if place in holes.unreadable
            for address in range(registers[place].address, registers[place].address + registers[place].count)
        }
        cuts = {address for of, address in holes.cuts if of == function}
        blocks += _cheapest(members, registers, cost, _parted(members, registers, avoid, cuts))
    return tuple(blocks)


def _parted(members: Sequence[int], registers: Sequence[Register], avoid: set[int], cuts: set[int]) -> list[bool]:
    """Say of each member whether it must not share a block with those before it."""
    parted = [True]
    end = 0
    for before, member in pairwise(members):
        end = max(end, registers[before].address + registers[before].count)
        address = registers[member].address
        parted.append(address in cuts or not avoid.isdisjoint(range(end, address)))
    return parted


def _cheapest(
    members: Sequence[int], registers: Sequence[Register], cost: float, parted: Sequence[bool]
) -> list[Block]:
    """Part the members, sorted by address, at least cost: the best plan for the first n follows from shorter ones."""
    best = [0.0]
    begins = [0]
    size = 1 / 8 if members and registers[members[0]].of_bits else _CHARACTERS_A_REGISTER
    for last in range(len(members)):
        end, least, begin = 0, np.inf, last
        for first in range(last, -1, -1):
            end = max(end, registers[members[first]].address + registers[members[first]].count)
            count = end - registers[members[first]].address
            if count > MOST_REGISTERS:
                break
            total = best[first] + cost + size * count
            if total < least:
                least, begin = total, first
            if parted[first]:
                break
        best.append(least)
        begins.append(begin)
    blocks: list[Block] = []
    last = len(members)
    while last:
        blocks.append(_block(members[begins[last] : last], registers))
        last = begins[last]
    return blocks[::-1]


def _block(members: Sequence[int], registers: Sequence[Register]) -> Block:
    address = min(registers[member].address for member in members)
    end = max(registers[member].address + registers[member].count for member in members)
    return Block(function=registers[members[0]].function, address=address, count=end - address, members=tuple(members))


def halves(block: Block, registers: Sequence[Register]) -> tuple[Block, Block]:
    """Split a block of several channels, at its widest gap, or in the middle when it has none."""
    members = block.members
    end, widest, split = 0, -np.inf, 0
    for index in range(1, len(members)):
        end = max(end, registers[members[index - 1]].address + registers[members[index - 1]].count)
        gap = registers[members[index]].address - end
        nearer = abs(2 * index - len(members)) < abs(2 * split - len(members))
        if gap > widest or (gap == widest and nearer):
            widest, split = gap, index
    return _block(members[:split], registers), _block(members[split:], registers)


def cuts_between(first: Block, second: Block) -> frozenset[tuple[int, int]]:
    """Return the cut that keeps two neighbours apart; none when they share registers."""
    return frozenset({(second.function, second.address)}) if second.address >= first.end else frozenset()


def spare_counts(registers: Sequence[Register], block: Block, planned: Sequence[Block]) -> list[int]:
    """Return how many registers at a block's start a fence can read, best first.

    Best is a count that no part of the unit's registers has, whatever holes are learned (one register where all are
    floats); then any that no block has, planned or without a gap. All are registers of channels, so they can be read.
    """
    runs = _runs(registers, block.function)
    spans = [(each.address, each.address + each.count) for each in registers if each.function == block.function]
    possible = {end - start for start, _ in spans for _, end in spans}
    used = {end - start for start, end in runs} | {each.count for each in planned if each.function == block.function}
    end = next(end for start, end in runs if start <= block.address < end)
    within = range(1, min(end, block.end) - block.address + 1)
    strange = [count for count in within if count not in possible]
    return strange + [count for count in within if count in possible - used]


def unused_counts(registers: Sequence[Register], function: int) -> list[int]:
    """Return how many registers a read of that function can ask for that no block ever asks for, least first."""
    spans = [(each.address, each.address + each.count) for each in registers if each.function == function]
    possible = {end - start for start, _ in spans for _, end in spans}
    return [count for count in range(1, MOST_REGISTERS + 1) if count not in possible]


def _runs(registers: Sequence[Register], function: int) -> list[tuple[int, int]]:
    """Return the ranges (first, behind the last) of registers that channels fill without a gap."""
    runs: list[tuple[int, int]] = []
    for start, end in sorted(
        (each.address, each.address + each.count) for each in registers if each.function == function
    ):
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """The k channels of one type in a block.

    Attributes:
        channels: their places in the unit's list, k of them.
        places: where in the payload their bytes are, channel after channel, highest byte first; of bits, which bits.
        dtype: what those bytes are; bool for bits.
    """

    channels: Columns
    places: Columns
    dtype: np.dtype[np.generic]


_DTYPES: Final = {"int16": ">i2", "uint16": ">u2", "int32": ">i4", "uint32": ">u4", "float32": ">f4", "float64": ">f8"}


def gathers(block: Block, registers: Sequence[Register]) -> tuple[Gather, ...]:
    """Return how to take a block's channels out of its payload, one array operation for each type."""
    if block.function in BIT_READS:
        bits = [registers[member].address - block.address for member in block.members]
        return (Gather(channels=columns(block.members), places=columns(bits), dtype=np.dtype(np.bool_)),)
    by_type: dict[str, list[int]] = {}
    for member in block.members:
        kind = "uint16" if registers[member].bit is not None else registers[member].type
        by_type.setdefault(kind, []).append(member)
    return tuple(
        Gather(
            channels=columns(members),
            places=columns([place for member in members for place in _places(registers[member], block.address)]),
            dtype=np.dtype(_DTYPES[kind]),
        )
        for kind, members in by_type.items()
    )


def _places(register: Register, start: int) -> list[int]:
    """Return the payload offsets of a value's bytes, highest first; one register has no order but high byte first."""
    words = range(register.count)
    low_word_first = register.order in ("CDAB", "DCBA")
    low_byte_first = register.count > 1 and register.order in ("BADC", "DCBA")
    offset = 2 * (register.address - start)
    return [
        offset + 2 * word + byte
        for word in (reversed(words) if low_word_first else words)
        for byte in ((1, 0) if low_byte_first else (0, 1))
    ]


def take(parts: Sequence[Gather], frame: bytes, numbers: NDArray[np.float64]) -> None:
    """Write a block's register values, unscaled, into `numbers` (shape (channels of the unit,)).

    Signalling NaNs make numpy complain where it is not told `np.errstate(invalid="ignore")`.

    Args:
        parts: as `gathers` returned them for the block.
        frame: the answer: unit, function, byte count, registers.
        numbers: where they go.
    """
    payload = np.frombuffer(frame, dtype=np.uint8, offset=PAYLOAD_AT)
    for part in parts:
        if part.dtype == np.bool_:
            numbers[part.channels] = np.unpackbits(payload, bitorder="little")[part.places]
            continue
        numbers[part.channels] = payload[part.places].view(part.dtype)
