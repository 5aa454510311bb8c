"""What the gateway says by MQTT, as bytes: one function per kind of payload, pure.

All are JSON objects with `v`, the version of their schema (`gateway.mqtt.schemas`). Times are integer ms UTC, pressure
is in Pa, temperature in K, and values are written with all their digits. JSON has no NaN: orjson writes null for it,
alone and inside numpy arrays, and that is how "no value" gets onto the wire here; quality and reason say why.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from drivers.reading import Quality, Reason
from drivers.rig import Rig, Transducer
from drivers.units import SI_UNITS

VERSION: Final = 1

_QUALITY_WORDS: Final = np.array([quality.word for quality in Quality], dtype=object)
_REASON_WORDS: Final = np.array([reason.word for reason in Reason], dtype=object)
_ALL_GOOD: Final = b'],"quality":"good","reason":null}'


def reading(
    *,
    gateway: str,
    n: int,
    t_ms: int,
    uncertainty_s: float,
    value: float,
    unit: str,
    quality: Quality,
    reason: Reason,
    raw: float,
) -> bytes:
    """Build the latest reading of one channel.

    Args:
        gateway: id in the rig file.
        n: the gateway's running number.
        t_ms: when it was measured, ms UTC.
        uncertainty_s: half the span in which it was measured; written as whole ms, rounded up.
        value: in `unit` ("Pa" or "K"), NaN when there is none.
        unit: SI unit of the value.
        quality: how far to trust it.
        reason: why it is not good.
        raw: in the transducer's own unit, NaN when there is none.
    """
    # orjson's bytes keep the 4 KiB in which they were written, and the newest reading of each channel is kept: a copy.
    return b"%b" % orjson.dumps(
        {
            "v": VERSION,
            "gw": gateway,
            "n": n,
            "t": t_ms,
            "u": math.ceil(uncertainty_s * 1000),
            "value": value,
            "unit": unit,
            "quality": quality.word,
            "reason": reason.word,
            "raw": raw,
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The samples of channels that are polled together; at least one, arrays C-contiguous.

    Attributes:
        channels: ids, `<transducer>.<quantity>`.
        dt_ms: of each sample, ms since the batch's `t0`.
        values: shape (channels, samples), Pa or K, NaN where there is none.
        grades: `Quality` and `Reason` codes, each of shape (channels, samples); None when all are good.
    """

    channels: tuple[str, ...]
    dt_ms: Sequence[int]
    values: NDArray[np.float64]
    grades: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None


def batch(*, gateway: str, boot: str, n: int, t0_ms: int, sync: str, blocks: Iterable[Block]) -> bytes:
    """Build a batch: every reading of a segment since the last one, columnar.

    Args:
        gateway: id in the rig file.
        boot: id of this start of the gateway.
        n: the gateway's running number.
        t0_ms: what the blocks' `dt_ms` count from, ms UTC.
        sync: state of the clock behind `t0_ms` ("ntp", "free", ...).
        blocks: no channel in two of them.
    """
    head = orjson.dumps({"v": VERSION, "gw": gateway, "boot": boot, "n": n, "t0": t0_ms, "sync": sync})
    columns = b"".join([_columns(block) for block in blocks])
    return b'%b,"channels":{%b}}' % (head[:-1], columns[1:])


def _columns(block: Block) -> bytes:
    """Return the members of `channels` for a block, a comma before each.

    numpy's numbers are written all at once and then cut, and each part is laid into its places at once: nothing here is
    done channel by channel unless something is wrong.
    """
    parts = [b""] * (4 * len(block.channels))
    parts[0::4] = _openings(block.channels)
    parts[1::4] = [orjson.dumps(block.dt_ms) + b',"value":['] * len(block.channels)
    parts[2::4] = orjson.dumps(block.values, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")
    parts[3::4] = _verdicts(block)
    return b"".join(parts)


@cache
def _openings(channels: tuple[str, ...]) -> list[bytes]:
    return [b',%b:{"dt":' % orjson.dumps(channel) for channel in channels]


def _verdicts(block: Block) -> list[bytes]:
    """Return for each channel what stands behind its values, quality and reason, and the end of its member."""
    if block.grades is None:
        return [_ALL_GOOD] * len(block.channels)
    return [
        b'],"quality":%b,"reason":%b}' % (_words(quality, _QUALITY_WORDS), _words(reasons, _REASON_WORDS))
        for quality, reasons in zip(*block.grades, strict=True)
    ]


def _words(codes: NDArray[np.uint8], words: NDArray[np.object_]) -> bytes:
    """Return one word when all samples of a channel share it, else a list of words, as JSON."""
    return orjson.dumps(words[codes[0]] if (codes == codes[0]).all() else words[codes].tolist())


def status(*, state: Literal["online", "offline"], boot: str, t_ms: int, reason: str | None) -> bytes:
    """Build the gateway's status, also the Will.

    Args:
        state: whether the gateway is there.
        boot: id of this start of the gateway.
        t_ms: since when, ms UTC; in a Will, when the gateway started, because nobody knows when it will be lost.
        reason: why ("connection lost", "stopped"), None when online.
    """
    return orjson.dumps({"v": VERSION, "state": state, "boot": boot, "t": t_ms, "reason": reason})


def meta(
    rig: Rig,
    *,
    t_ms: int,
    rig_hash: str,
    software: str,
    emulated: bool = False,
    paused: Collection[str] = (),
    calibrated: Mapping[str, Mapping[str, Any]] | None = None,
) -> bytes:
    """Build what consumers need to know of a gateway; never holds anything of `[mqtt]`.

    Args:
        rig: what is wired where, as it is now.
        t_ms: since when it is so, ms UTC.
        rig_hash: of the rig file.
        software: version of Manovac.
        emulated: whether an emulator that the gateway has started plays the transducers.
        paused: transducers that are not asked.
        calibrated: by transducer, who has given its offset and gain by command, and when; those of the others are the
            rig file's.
    """
    return orjson.dumps(
        {
            "v": VERSION,
            "gw": rig.station.gateway,
            "t": t_ms,
            "software": software,
            "emulated": emulated,
            "rig": rig_hash,
            "units": SI_UNITS,
            "transducers": {
                name: _transducer(words) | {"paused": name in paused, "calibrated_by": (calibrated or {}).get(name)}
                for name, words in rig.transducers.items()
            },
        }
    )


def _transducer(words: Transducer) -> dict[str, Any]:
    calibration = words.calibration
    return {
        "model": words.model,
        "segment": words.segment,
        "bus": words.bus,
        "address": words.unit,
        "channel": words.channel,
        "poll_s": words.poll,
        "range_pa": words.range,
        "serial_number": words.serial_number,
        "calibration": None if calibration is None else calibration.model_dump(mode="json"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitHealth:
    """How one unit answers, counted since the gateway started.

    Attributes:
        attempts: by outcome.
        unused: intact frames that no attempt took, by what they were.
        line_s: line time that its attempts took.
        round_trip_mean_s, round_trip_longest_s: None before the first answer.
    """

    attempts: Mapping[str, int]
    unused: Mapping[str, int]
    line_s: float
    round_trip_mean_s: float | None
    round_trip_longest_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BusHealth:
    """How one bus does.

    Attributes:
        up: whether its port is open; `problem` says why it is not.
        connects: how often it was opened.
        foreign: intact frames of units that are not in the rig.
        line_use: fraction of its time in use since the last health (0 to 1).
        overruns: polls since the start that ended when the next one of their unit was due already.
        longest_poll_s: the longest time from a poll's due moment to its end, since the last health.
        units: by address.
    """

    up: bool
    problem: str
    connects: int
    foreign: int
    line_use: float
    overruns: int
    longest_poll_s: float
    units: Mapping[int, UnitHealth]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """How often a part of the gateway has failed since the start, and what is wrong with it; empty when nothing is."""

    failures: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the gateway does.

    Attributes:
        sync: state of the clock ("ntp", "free", ...).
        buses: by id.
        loop_lag_s: the event loop's largest delay since the last health.
        memory_bytes: resident set.
        queue_messages, queue_bytes, queue_oldest_s: what waits for the broker, and how long the oldest has.
        journal_rows, journal_problem: what the journal holds, and why it cannot be written now, if so.
        losses: messages lost since the gateway started, by cause.
        failures: parts of the gateway that have failed and were begun again, by name.
        commands: how many came, by the code of their answer.
    """

    sync: str
    buses: Mapping[str, BusHealth]
    loop_lag_s: float
    memory_bytes: int
    queue_messages: int
    queue_bytes: int
    queue_oldest_s: float
    journal_rows: int
    journal_problem: str
    losses: Mapping[str, int]
    failures: Mapping[str, PartHealth]
    commands: Mapping[str, int]


def health(now: Health, *, gateway: str, boot: str, t_ms: int) -> bytes:
    """Build the gateway's health at `t_ms` (ms UTC)."""
    return orjson.dumps(
        {
            "v": VERSION,
            "gw": gateway,
            "boot": boot,
            "t": t_ms,
            **{name: getattr(now, name) for name in Health.__slots__},
        },
        option=orjson.OPT_NON_STR_KEYS,
    )
