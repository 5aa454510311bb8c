"""A recorded line as devices: a question that was recorded gets the recorded answer with the recorded delay.

The devices are twins on an ordinary `Fleet`, so pacing, echo, ports and faults are those of any emulated line. On a
line of frames there is one for each address, because a device that is late holds up no other, and one that listens to
everything: it counts what nobody asked in the record, and talks when the record has something unasked. On a line of
text the latter does it all, for it hears a question at its last character and not after T3.5 of silence.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from drivers.rig import Bus, BusKind, Rig, Transducer
from drivers.trace.exchanges import Conversation, conversations
from drivers.trace.records import Trace, TraceError, View, read_trace, with_header
from firmware_sim import EmulatorError
from firmware_sim.faults import Fault
from firmware_sim.firmware.firmware import Reply, Sensor
from firmware_sim.fleet import Fleet
from firmware_sim.line_time import silence_ns, span_ns
from firmware_sim.outbox import TURNAROUND_NS

_MODEL: Final = "recorded"
_UNITS: Final = range(256)
_UNKNOWN_MOST: Final = 1000
"""Different unknown questions that are kept by their bytes; further ones are only counted."""


class ReplayError(EmulatorError, ValueError):
    """A trace that cannot be replayed; the message says why."""


@dataclass(slots=True, kw_only=True)
class ReplayStatistics:
    """What a replayed bus was asked.

    Attributes:
        answered: questions that got their recorded answer.
        repeated: questions asked more often than recorded: the last answer again, or silence when strict.
        silent: questions that nobody answered in the record either.
        unknown: questions that are not in the record, counted by their bytes: they got silence.
        unknown_others: further ones, when too many differ to be kept.
        unasked: runs of the record that were sent without a question.
    """

    answered: int = 0
    repeated: int = 0
    silent: int = 0
    unknown: Counter[bytes] = field(default_factory=Counter)
    unknown_others: int = 0
    unasked: int = 0


class Tape:
    """The record of one bus, and how far each of its questions was played.

    Args:
        conversation: what was said.
        start_ns: time of the trace's first record, which is the emulator's time 0.
        speed: delays are divided by it; characters take the time that they take.
        strict: silence, not the last answer again, when a question is asked more often than it was recorded.
    """

    def __init__(self, conversation: Conversation, *, start_ns: int, speed: float, strict: bool) -> None:
        self.statistics = ReplayStatistics()
        self.takes = conversation.by_question()
        self._heard_ns = _heard_ns(conversation)
        self.framed = conversation.framed
        self.addresses = frozenset(question[0] for question in self.takes) if self.framed else frozenset()
        self._answers = frozenset(run.data for each in conversation.exchanges for run in each.runs)
        self._speed = speed
        self._strict = strict
        self._played: Counter[bytes] = Counter()
        self._unasked = [
            (self._scaled(run.at_ns - start_ns), run.data)
            for run in sorted(conversation.unasked, key=lambda run: run.at_ns, reverse=True)
        ]

    @property
    def due_ns(self) -> int | None:
        """When the next unasked run is due; None after the last."""
        return self._unasked[-1][0] if self._unasked else None

    def unasked(self, at_ns: int) -> list[Reply]:
        """Return the unasked runs that are due."""
        replies = []
        while self._unasked and self._unasked[-1][0] <= at_ns:
            replies.append(Reply(data=self._unasked.pop()[1]))
        self.statistics.unasked += len(replies)
        return replies

    def play(self, question: bytes) -> list[Reply]:
        """Return the next recorded answer to a question, from the moment at which the device is told of it."""
        takes = self.takes.get(question)
        if takes is None:
            return []
        number = self._played[question]
        self._played[question] += 1
        if number >= len(takes):
            self.statistics.repeated += 1
            if self._strict:
                return []
        take = takes[min(number, len(takes) - 1)]
        if not take.runs:
            self.statistics.silent += 1
        elif number < len(takes):
            self.statistics.answered += 1
        heard_ns = self._heard_ns[id(take)]
        return [Reply(data=run.data, delay_ns=max(self._scaled(run.at_ns - heard_ns), 0)) for run in take.runs]

    def _scaled(self, time_ns: int) -> int:
        return round(time_ns / self._speed)

    def note(self, heard: bytes) -> None:
        """Count what is neither a question nor an answer of the record; questions put too early are glued to others."""
        if heard in self.takes or heard in self._answers:
            return
        if heard in self.statistics.unknown or len(self.statistics.unknown) < _UNKNOWN_MOST:
            self.statistics.unknown[heard] += 1
        else:
            self.statistics.unknown_others += 1


def _heard_ns(conversation: Conversation) -> dict[int, int]:
    """Return when its device took up each question (by id): not before its earlier answers were out."""
    bus, framed = conversation.bus, conversation.framed
    if bus.kind is BusKind.MODBUS_TCP:
        return {id(each): each.end_ns + TURNAROUND_NS for each in conversation.exchanges}
    pause_ns = silence_ns(bus) if framed else 0
    free_ns: dict[int, int] = {}
    taken_up = {}
    for each in conversation.exchanges:
        device = each.question[0] if framed else 0
        taken_up[id(each)] = max(each.end_ns + pause_ns, free_ns.get(device, 0))
        for run in each.runs:
            free_ns[device] = run.at_ns + span_ns(bus, len(run.data)) + pause_ns
    return taken_up


class Recorded:
    """One device of a recorded bus; a `ModbusFirmware`.

    Args:
        tape: of its bus.
        unit: its address; one that the record does not ask belongs to the device that listens to everything.
    """

    def __init__(self, tape: Tape, unit: int) -> None:
        self.silence_framed = tape.framed
        self._tape = tape
        self._unit = unit
        self._listens = unit not in tape.addresses
        self._so_far = b""

    @property
    def addresses(self) -> frozenset[int] | None:
        """Its own; the one that listens hears all."""
        return None if self._listens else frozenset((self._unit,))

    @property
    def wakes_at_ns(self) -> int | None:
        """When the record has something unasked."""
        return self._tape.due_ns if self._listens else None

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Answer a frame; the one that listens counts those that are not in the record."""
        del at_ns
        if not self.silence_framed:
            return self._hear_text(data)
        if self._listens:
            self._tape.note(data)
            return []
        return self._tape.play(data)

    def _hear_text(self, data: bytes) -> Sequence[Reply]:
        """Take characters until they are a question, or a line that is none."""
        heard = self._so_far + data
        self._so_far = b""
        if heard in self._tape.takes:
            return self._tape.play(heard)
        if not any(question.startswith(heard) for question in self._tape.takes):
            self._tape.note(heard)
        else:
            self._so_far = heard
        return []

    def serve(self, at_ns: int, pdu: bytes) -> Reply | None:
        """Answer a Modbus TCP message."""
        del at_ns
        message = (len(pdu) + 1).to_bytes(2, "big") + bytes((self._unit,)) + pdu
        question = b"\0\0" + message
        self._tape.note(question)
        replies = self._tape.play(question)
        if not replies:
            return None
        return Reply(data=replies[0].data[5:], delay_ns=replies[0].delay_ns)  # without protocol, length and unit

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """Send what the record has unasked."""
        return self._tape.unasked(at_ns)

    def reboot(self, at_ns: int) -> None:
        """Nothing is lost: a record has no settings."""

    def refuse(self, code: int | None) -> None:
        """Nothing changes: how the device would have refused is not in the record."""


class _NoWorld:
    """Sensing elements that nobody reads."""

    def sensor(self, transducer_id: str, /) -> Sensor:
        """Return one."""
        del transducer_id
        return _NoSensor()


class _NoSensor:
    def read(self, at_ns: int) -> tuple[float, float]:
        raise EmulatorError(f"a record has no sensors (read at {at_ns} ns)")


class Replay:
    """A trace as a fleet.

    Attributes:
        fleet: serve it as any other; its buses are those of the record.
        rig: the rig of the fleet: `rig.buses` has kind, baud and format.
        tapes: bus -> its record and statistics.

    Args:
        trace: with its header.
        source: its file, for messages.
        speed: delays of the record are divided by it.
        strict: silence for a question that is asked more often than it was recorded, in place of the last answer.
        faults: in force from the start, besides what the record holds.
        copy: the replay is recorded into it.

    Raises:
        TraceError: the trace has no header.
        ReplayError: nothing in it can be played, or not at that speed.
    """

    def __init__(
        self,
        trace: Trace,
        source: Path,
        *,
        speed: float = 1.0,
        strict: bool = False,
        faults: Iterable[Fault | str] = (),
        copy: BinaryIO | None = None,
    ) -> None:
        if not speed > 0:  # nor not-a-number
            raise ReplayError(f"speed {speed}: must be greater than zero")
        header = with_header(trace, source)
        if not any(each.data for each in trace.records):
            raise ReplayError(f"{source}: nothing was said, so there is nothing to replay")
        start_ns = min(each.t_ns for each in trace.records)
        self.tapes = {
            name: Tape(said, start_ns=start_ns, speed=speed, strict=strict)
            for name, said in conversations(trace, header).items()
        }
        self.rig = Rig.model_validate(
            {
                "station": {"id": "replay", "gateway": "replay"},
                "segment": {_MODEL: {}},
                "bus": {
                    name: {"kind": bus.kind, "port": bus.port, "baud": bus.baud, "format": bus.format}
                    for name, bus in header.buses.items()
                },
                "transducer": {
                    f"{name}_{unit}": {"bus": name, "segment": _MODEL, "model": _MODEL, "unit": unit}
                    for name, tape in self.tapes.items()
                    for unit in _devices(tape, header.buses[name])
                },
            }
        )
        again = None if copy is None else Trace(copy, header=replace(header, view=View.LINE))
        twins = {_MODEL: self._twin}
        self.fleet = Fleet(self.rig, world=_NoWorld(), trace=again, faults=faults, twins=twins)

    def _twin(
        self, *, unit: int, bus: Bus, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]
    ) -> Recorded:
        """Make one device; a `Twin`."""
        del bus, sensors  # the record has both
        return Recorded(self.tapes[next(iter(transducers.values())).bus], unit)


def _devices(tape: Tape, bus: Bus) -> Iterable[int]:
    """Return the addresses to play on a bus; on Modbus TCP all, for those that are not recorded are to be silent."""
    if bus.kind is BusKind.MODBUS_TCP:
        return _UNITS
    free = next((unit for unit in _UNITS if unit not in tape.addresses), None)
    return sorted(tape.addresses) if free is None else sorted({*tape.addresses, free})


def load_replay(path: Path, **words: Any) -> Replay:
    """Read a trace and make a `Replay` of it.

    Raises:
        ReplayError: it cannot be read or played; the message says why.
        OSError: there is no such file.
    """
    try:
        return Replay(read_trace(path), path, **words)
    except TraceError as error:
        raise ReplayError(str(error)) from error
