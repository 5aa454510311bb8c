"""One transducer of a rig file, ready to be polled: the drivers alone, for scripts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.bus import Bus
from drivers.reader import UnitReader, reader
from drivers.rig_source import load_rig


@asynccontextmanager
async def opened_transducer(rig: str | Path, transducer: str) -> AsyncIterator[UnitReader]:
    """Open the bus of a transducer for a `with` block and yield the reader of its unit.

    Args:
        rig: path of the rig file.
        transducer: id in it.

    Raises:
        RigError: the rig file is wrong; the message shows every mistake.
        LookupError: no such transducer.
        ConnectionError: its bus cannot be opened.
    """
    words = load_rig(Path(rig))
    if transducer not in words.transducers:
        raise LookupError(f"{rig} has no transducer '{transducer}'; it has {', '.join(words.transducers)}")
    of = words.transducers[transducer]
    async with Bus(of.bus, words.buses[of.bus]).opened() as bus:
        yield reader(bus, of.unit, words.units(of.bus)[of.unit])
