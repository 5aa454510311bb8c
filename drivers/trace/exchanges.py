"""Who asked what, and what came of it: a trace sorted into questions with their answers. Pure.

A run belongs to the newest open question that begins with the same character (the address, on most lines) and to which
it can be the answer; if there is none, to the newest question. After long silence it belongs to none: somebody talked
unasked. On Modbus TCP the transaction id says it, and is left out, so that two records can be compared.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from drivers.rig import Bus, BusKind
from drivers.trace.records import HOST, Header, Record, Trace, View

_UNASKED_NS: Final = 2_000_000_000
_RECENT: Final = 8
"""Questions back to which a late answer is followed."""
_TCP_HEAD: Final = 6
_REGISTER_READS: Final = (3, 4)
_READ_SIZE: Final = 8
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Bytes that came from a device, and when the first of them began."""

    at_ns: int
    data: bytes


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """One question and what was heard of it.

    Attributes:
        at_ns, end_ns: first and last character of the question.
        gap_ns: the silence before it; None for the first thing that was said.
        runs: what answered it, in order; none when nothing did.
    """

    at_ns: int
    end_ns: int
    question: bytes
    gap_ns: int | None
    runs: list[Run] = field(default_factory=list)

    @property
    def answer(self) -> bytes:
        """All that answered it."""
        return b"".join(run.data for run in self.runs)

    @property
    def latency_ns(self) -> int | None:
        """From the end of the question to the start of its answer; None without one."""
        return self.runs[0].at_ns - self.end_ns if self.runs else None


@dataclass(slots=True, kw_only=True, eq=False)
class Conversation:
    """All that was said on one bus.

    Attributes:
        unasked: what came without a question.
        notes: what was unusual, counted.
        echo: the adapter heard itself; its echoes are left out.
    """

    bus: Bus
    exchanges: list[Exchange] = field(default_factory=list)
    unasked: list[Run] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    echo: bool = False

    @property
    def framed(self) -> bool:
        """Whether frames are told apart by silence; not on TCP, and not where every question is a line of text."""
        return self.bus.kind is not BusKind.MODBUS_TCP and not all(is_text(each.question) for each in self.exchanges)

    def by_question(self) -> dict[bytes, list[Exchange]]:
        """Return the exchanges of each question, in order of their first occurrence."""
        groups: dict[bytes, list[Exchange]] = {}
        for exchange in self.exchanges:
            groups.setdefault(exchange.question, []).append(exchange)
        return groups


def is_text(data: bytes) -> bool:
    """Say whether all characters are printable ASCII, line ends or the controls that text instruments use."""
    return all(0x20 <= byte < 0x7F or byte in b"\r\n\t\x03\x05\x06\x11\x15\x1b" for byte in data)


def conversations(trace: Trace, header: Header) -> dict[str, Conversation]:
    """Sort a trace into conversations by bus; a bus of the header on which nothing was said has an empty one."""
    said: dict[str, list[Record]] = defaultdict(list)
    for record in trace.records:
        said[record.bus].append(record)
    return {
        name: _conversation(bus, sorted(said[name], key=_begin), view=header.view) for name, bus in header.buses.items()
    }


def _begin(record: Record) -> int:
    return record.t_ns


def _conversation(bus: Bus, records: list[Record], *, view: View) -> Conversation:
    conversation = Conversation(bus=bus)
    for record in records:
        for note in filter(None, record.note.split(", ")):
            conversation.notes[note] += 1
    spoken = [record for record in records if record.data]
    if bus.kind is BusKind.MODBUS_TCP:
        _pair_tcp(conversation, spoken)
    else:
        _pair_line(conversation, spoken)
        if view is View.HOST:
            _drop_echo(conversation)
    return conversation


def _pair_line(conversation: Conversation, records: Iterable[Record]) -> None:
    bus, exchanges = conversation.bus, conversation.exchanges
    within_ns = round(1.5 * bus.character_s * _NS)  # T1.5: what follows sooner is the same frame
    quiet_ns: int | None = None  # when the last character so far was over
    asking = False
    for record in records:
        end_ns = record.t_ns + round(len(record.data) * bus.character_s * _NS)
        if record.talker != HOST:
            asking = False
            _take(conversation, Run(at_ns=record.t_ns, data=record.data))
        elif asking and record.t_ns - exchanges[-1].end_ns < within_ns:
            exchanges[-1].question += record.data
            exchanges[-1].end_ns = end_ns
        else:
            asking = True
            gap_ns = None if quiet_ns is None else record.t_ns - quiet_ns
            exchanges.append(Exchange(at_ns=record.t_ns, end_ns=end_ns, question=record.data, gap_ns=gap_ns))
        quiet_ns = end_ns if quiet_ns is None else max(quiet_ns, end_ns)


def _take(conversation: Conversation, run: Run) -> None:
    """Give a run to the question that it answers."""
    recent = [
        each
        for each in reversed(conversation.exchanges[-_RECENT:])
        if run.at_ns - (each.runs[-1].at_ns if each.runs else each.end_ns) <= _UNASKED_NS
    ]
    if not recent:
        conversation.unasked.append(run)
        return
    same = [each for each in recent if each.question[:1] == run.data[:1]]
    fitting = (each for each in same if not each.runs and _fits(each.question, run.data))
    next(fitting, (same or recent)[0]).runs.append(run)


def _fits(question: bytes, answer: bytes) -> bool:
    """Say whether a frame can answer a question: its function, and how much was asked for when that is known."""
    if is_text(question) or len(question) < 2 or len(answer) < 3:
        return True
    if answer[1] & 0x7F != question[1]:
        return False
    reads = question[1] in _REGISTER_READS and len(question) == _READ_SIZE and answer[1] == question[1]
    return not reads or answer[2] == 2 * int.from_bytes(question[4:6], "big") & 0xFF


def _drop_echo(conversation: Conversation) -> None:
    """Take the echoes away where every answer begins with its question: no protocol answers everything like that."""
    heard = [each for each in conversation.exchanges if each.runs]
    if len({each.question for each in heard}) < 2 or not all(each.answer.startswith(each.question) for each in heard):
        return
    conversation.echo = True
    for exchange in heard:
        left = len(exchange.question)
        runs = []
        for run in exchange.runs:
            cut, left = min(left, len(run.data)), max(left - len(run.data), 0)
            if cut < len(run.data):
                shift_ns = round(cut * conversation.bus.character_s * _NS)
                runs.append(Run(at_ns=run.at_ns + shift_ns, data=run.data[cut:]))
        exchange.runs = runs


def _pair_tcp(conversation: Conversation, records: Iterable[Record]) -> None:
    open_questions: dict[bytes, Exchange] = {}
    for record in _messages(records):
        transaction, rest = record.data[:2], record.data[2:]
        if record.talker == HOST:
            exchange = Exchange(at_ns=record.t_ns, end_ns=record.t_ns, question=rest, gap_ns=None)
            open_questions[transaction] = exchange
            conversation.exchanges.append(exchange)
        elif transaction in open_questions:
            open_questions[transaction].runs.append(Run(at_ns=record.t_ns, data=rest))
        else:
            conversation.unasked.append(Run(at_ns=record.t_ns, data=rest))


def _messages(records: Iterable[Record]) -> Iterator[Record]:
    """Yield whole messages, whatever the pieces in which they were recorded; what never gets whole comes as it is."""
    pending: dict[bool, Record] = {}
    for record in records:
        asks = record.talker == HOST
        before = pending.pop(asks, None)
        rest = record if before is None else replace(record, t_ns=before.t_ns, data=before.data + record.data)
        while len(rest.data) >= _TCP_HEAD:
            size = _TCP_HEAD + int.from_bytes(rest.data[4:6], "big")
            if size > len(rest.data):
                break
            yield replace(rest, data=rest.data[:size])
            rest = replace(record, data=rest.data[size:])
        if rest.data:
            pending[asks] = rest
    yield from pending.values()
