"""Traces in few words, for tests: what was said on a bus "b" at 9600 8N1, a character a millisecond or so."""

from drivers.rig import Bus
from drivers.trace.exchanges import conversations
from drivers.trace.records import Header, Record, Trace, View
from tests.firmware_sim.devices import framed

MS = 1_000_000


def header(kind="serial", view="line", baud=9600, buses=("b",)):
    return Header(
        view=View(view), by="test", buses={name: Bus(kind=kind, port="-", baud=baud, format="8N1") for name in buses}
    )


def trace(*said, **words):
    """Make a trace of (ms, talker, bytes[, note])."""
    made = Trace(header=header(**words))
    for t_ms, talker, data, *note in said:
        made.add(Record(t_ns=round(t_ms * MS), bus="b", talker=talker, data=data, note=note[0] if note else ""))
    return made


def conversation(*said, **words):
    made = trace(*said, **words)
    return conversations(made, made.header)["b"]


def ask(unit, address=0, count=2):
    return framed([unit, 3, *address.to_bytes(2, "big"), *count.to_bytes(2, "big")])


def answer(unit, *data):
    return framed([unit, 3, len(data), *data])
