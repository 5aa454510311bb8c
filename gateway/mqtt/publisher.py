"""What of all readings is published, and when: latest values, batches, and the mark "stale"."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.columns import Columns, columns
from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import Rig
from drivers.units import SI_UNITS
from gateway.mqtt import payloads
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.topics import Topics

_T = TypeVar("_T", np.float64, np.uint8)
_QUALITIES: Final = tuple(Quality)
_REASONS: Final = tuple(Reason)
_LATEST_S: Final = 1.0
_JITTER_S: Final = 0.1  # a poll each second does not come to the millisecond
_STALE_POLLS: Final = 3
_STALE_S: Final = 3.0
_SAMPLE_BYTES: Final = 33
_CHANNEL_BYTES: Final = 100
_BATCH_BYTES: Final = 100_000  # at worst (each sample with its own quality and reason) still below 256 KiB


class Stamps(Protocol):
    """How the event loop's clock becomes UTC."""

    @property
    def sync(self) -> str:
        """State of the clock: "ntp", "free", ..."""
        ...

    def utc_ms(self, time_s: float) -> int:
        """Return a moment of the event loop's clock as ms UTC."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """The channels of a unit that are in one segment: their columns and ids."""

    columns: Columns
    ids: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Unit:
    """Channels that come with one poll, and what was last said of them; arrays have shape (channels,).

    Attributes:
        segments: segment -> its channels.
        limits_s: how long each may be without a new reading; `shortest_s` is the least of them.
        said: `Quality` codes as last published on the channels' own topics; often the readings' own array.
        due_s: when their latest values are to be published again.
    """

    channels: tuple[Channel, ...]
    topics: tuple[str, ...]
    segments: dict[str, _Share]
    limits_s: NDArray[np.float64]
    shortest_s: float
    last: Readings
    said: NDArray[np.uint8]
    due_s: float = -math.inf


@dataclass(slots=True, kw_only=True)
class _Collected:
    """Readings of one segment for its next batch: unit (by its first channel) -> polls; and about its size in bytes."""

    polls: dict[str, list[Readings]]
    size: int = 0


class Publisher:
    """Turns readings into messages. Times are those of the readings and of `expire`: the event loop's clock, s.

    Each channel's own topic gets its latest reading at most once a second, and at once when its quality changes. Each
    segment's batch gets every reading, each `mqtt.batch` s, sooner when about 100 kB have come together, and with a
    batch of 0 s at each poll; offsets within a batch are differences of the event loop's clock, which no step of UTC
    can bend.
    """

    def __init__(self, rig: Rig, outbox: Outbox, stamps: Stamps, boot: str) -> None:
        self._rig = rig
        self._outbox = outbox
        self._stamps = stamps
        self._boot = boot
        self._gateway = rig.station.gateway
        self._topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
        self._units: dict[str, _Unit] = {}
        self._homes: dict[str, str] = {}  # channel -> its unit
        self._collected: dict[str, _Collected] = {}
        self._batch_due_s: float | None = None

    def adopt(self, rig: Rig) -> None:
        """Go on with other poll periods: a reading is stale after three of them."""
        self._rig = rig
        for unit in self._units.values():
            unit.limits_s = self._limits_s(unit.channels)
            unit.shortest_s = float(unit.limits_s.min())

    def _limits_s(self, channels: Iterable[Channel]) -> NDArray[np.float64]:
        polls = [self._rig.transducers[channel.transducer].poll for channel in channels]
        return np.array([max(_STALE_POLLS * poll, _STALE_S) for poll in polls])

    def publish(self, readings: Readings) -> None:
        """Take the readings of one poll of one unit."""
        now_s = readings.time_s
        key = readings.channels[0].id
        unit = self._units.get(key)
        if unit is None or unit.channels != readings.channels:
            unit = self._adopt(key, readings)
        unit.last = readings
        if now_s >= unit.due_s - _JITTER_S:
            unit.due_s = max(unit.due_s, now_s) + _LATEST_S
            self._latest(unit, range(len(unit.channels)), readings.quality)
        elif readings.quality is not unit.said:
            changed = np.flatnonzero(readings.quality != unit.said)
            if changed.size:
                self._latest(unit, changed.tolist(), readings.quality)
        self._collect(key, unit)
        self._flush_due(now_s)

    def expire(self, now_s: float) -> float:
        """Publish what is due without a new reading: batches, and channels that have become stale.

        A channel without a new reading for 3 poll periods (at least 3 s) gets its last one published again on its own
        topic, time and all, with quality "stale".

        Returns:
            When to call again.
        """
        again_s = min(self._flush_due(now_s), now_s + _STALE_S)
        for unit in self._units.values():
            if now_s < unit.last.time_s + unit.shortest_s:
                again_s = min(again_s, unit.last.time_s + unit.shortest_s)
                continue
            fresh = unit.said != Quality.STALE
            late = fresh & (now_s - unit.last.time_s >= unit.limits_s)
            if late.any():
                self._latest(unit, np.flatnonzero(late).tolist(), np.where(late, np.uint8(Quality.STALE), unit.said))
            waiting = unit.limits_s[fresh & ~late]
            if waiting.size:
                again_s = min(again_s, unit.last.time_s + float(waiting.min()))
        return again_s

    def renew(self) -> None:
        """Publish each channel's latest reading again, with the stamp that it has now."""
        for unit in self._units.values():
            self._latest(unit, range(len(unit.channels)), unit.said)

    def flush(self) -> None:
        """Publish what has been collected since the last batches, as at a stop."""
        for segment in list(self._collected):
            self._batch(segment, self._collected.pop(segment))

    def _adopt(self, key: str, readings: Readings) -> _Unit:
        """Get to know a unit, or that its channels are others than before."""
        for other in {self._homes[channel.id] for channel in readings.channels if channel.id in self._homes}:
            self.flush()
            for channel in self._units.pop(other).channels:
                del self._homes[channel.id]
        self._homes |= dict.fromkeys([channel.id for channel in readings.channels], key)
        words = [self._rig.transducers[channel.transducer] for channel in readings.channels]
        segments: dict[str, list[int]] = {}
        for column, transducer in enumerate(words):
            segments.setdefault(transducer.segment, []).append(column)
        limits_s = self._limits_s(readings.channels)
        unit = _Unit(
            channels=readings.channels,
            topics=tuple(
                self._topics.reading(segment=each.segment, quantity=channel.quantity, transducer=channel.transducer)
                for channel, each in zip(readings.channels, words, strict=True)
            ),
            segments={
                segment: _Share(
                    columns=columns(numbers),
                    ids=tuple(readings.channels[column].id for column in numbers),
                )
                for segment, numbers in segments.items()
            },
            limits_s=limits_s,
            shortest_s=float(limits_s.min()),
            last=readings,
            said=readings.quality,
        )
        self._units[key] = unit
        return unit

    def _latest(self, unit: _Unit, columns: Iterable[int], said: NDArray[np.uint8]) -> None:
        """Publish the latest readings of these columns with the qualities that are said of all from now on."""
        readings = unit.last
        unit.said = said
        t_ms = self._stamps.utc_ms(readings.time_s)
        values, raw = readings.values.tolist(), readings.raw.tolist()
        qualities, reasons = said.tolist(), readings.reasons.tolist()
        for column in columns:
            payload = payloads.reading(
                gateway=self._gateway,
                n=self._outbox.newest_n,
                t_ms=t_ms,
                uncertainty_s=readings.uncertainty_s,
                value=values[column],
                unit=SI_UNITS[unit.channels[column].quantity],
                quality=_QUALITIES[qualities[column]],
                reason=_REASONS[reasons[column]],
                raw=raw[column],
            )
            self._outbox.put(Message(topic=unit.topics[column], payload=payload, retain=True))

    def _collect(self, key: str, unit: _Unit) -> None:
        for segment, share in unit.segments.items():
            collected = self._collected.get(segment)
            if collected is None:
                collected = self._collected[segment] = _Collected(polls={})
            polls = collected.polls.setdefault(key, [])
            collected.size += len(share.ids) * (_SAMPLE_BYTES if polls else _SAMPLE_BYTES + _CHANNEL_BYTES)
            polls.append(unit.last)
            if collected.size >= _BATCH_BYTES:
                self._batch(segment, self._collected.pop(segment))

    def _flush_due(self, now_s: float) -> float:
        """Publish the batches when it is time; return when it is next."""
        period_s = self._rig.mqtt.batch
        if period_s == 0:
            self.flush()
            return math.inf
        if self._batch_due_s is None:
            self._batch_due_s = now_s + period_s
        elif now_s >= self._batch_due_s:
            self.flush()
            self._batch_due_s = now_s + period_s
        return self._batch_due_s

    def _batch(self, segment: str, collected: _Collected) -> None:
        t0_s = min(polls[0].time_s for polls in collected.polls.values())
        n = self._outbox.number()
        payload = payloads.batch(
            gateway=self._gateway,
            boot=self._boot,
            n=n,
            t0_ms=self._stamps.utc_ms(t0_s),
            sync=self._stamps.sync,
            blocks=[_block(self._units[key].segments[segment], polls, t0_s) for key, polls in collected.polls.items()],
        )
        self._outbox.put(Message(topic=self._topics.batch(segment), payload=payload, n=n))


def _block(share: _Share, polls: Sequence[Readings], t0_s: float) -> payloads.Block:
    grades = None
    if not all(poll.all_good for poll in polls):
        grades = (
            _by_channel(share, [poll.quality for poll in polls]),
            _by_channel(share, [poll.reasons for poll in polls]),
        )
    return payloads.Block(
        channels=share.ids,
        dt_ms=[round((poll.time_s - t0_s) * 1000) for poll in polls],
        values=_by_channel(share, [poll.values for poll in polls]),
        grades=grades,
    )


def _by_channel(share: _Share, polls: Sequence[NDArray[_T]]) -> NDArray[_T]:
    """Return what some polls say of a share's channels, shape (channels, polls)."""
    return np.ascontiguousarray(np.array(polls).T[share.columns])
