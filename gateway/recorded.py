"""A trace file beside a run of the gateway: opened with its header, closed with what to tell."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.rig import Bus
from drivers.transport.choose import transport_for
from drivers.transport.transport import MakeTransport

if TYPE_CHECKING:  # a gateway that records nothing does without
    from drivers.transport.tap import Recording


class RecordError(RuntimeError):
    """The trace file cannot be written; the message says which and why."""


@contextmanager
def recording(
    path: Path, buses: Mapping[str, Bus], *, rig_hash: str = "", listening: bool = False
) -> "Iterator[Recording]":
    """Record those buses into a file for a `with` block inside a running loop.

    Args:
        path: written anew; each record goes to the file at once, so that a crash loses none.
        buses: the very objects for which transports will be made.
        rig_hash: of the rig file.
        listening: beside the line, instead of in place of its owner.

    Raises:
        RecordError: the file cannot be opened, or could not be written to the end.
    """
    from drivers.trace.records import Header, Trace, TraceError, View, create_trace  # noqa: PLC0415
    from drivers.transport.tap import Recording  # noqa: PLC0415

    header = Header(
        view=View.LISTENER if listening else View.HOST,
        by=f"manovac {version('manovac')}",
        buses=buses,
        start=datetime.now(UTC).isoformat(timespec="milliseconds"),
        rig=rig_hash,
    )
    try:
        file = create_trace(path)
    except TraceError as error:
        raise RecordError(str(error)) from error
    except OSError as error:
        raise RecordError(f"cannot record to {path}: {error.strerror or error}") from error
    with file:
        taken = Recording(Trace(file, header=header), buses)
        try:
            yield taken
        finally:
            taken.close()
    if taken.problem:
        raise RecordError(f"{path}: {taken.problem}")


@contextmanager
def recorded_transports(path: Path | None, buses: Mapping[str, Bus], *, rig_hash: str) -> Iterator[MakeTransport]:
    """Make the transports of those buses, recorded when there is a path; see `recording`."""
    if path is None:
        yield transport_for
        return
    with recording(path, buses, rig_hash=rig_hash) as taken:
        yield taken.over()
