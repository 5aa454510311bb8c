"""`/metrics`: the numbers of `gw/<gateway>/health` and of the link, in Prometheus' text format."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.mqtt.outbox import LinkStatistics
from gateway.mqtt.payloads import BusHealth, Health, UnitHealth

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(health: Health, link: LinkStatistics, about: dict[str, str]) -> bytes:
    """Return everything as text; counters are since the gateway's start.

    Args:
        health: how the gateway does.
        link: how delivery goes.
        about: what names this gateway: station, gateway, boot, version.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot([*_gateway(health, about), *_link(link), *_buses(health), *_units(health)]))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"manovac_{name}", text, value=value)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"manovac_{name}", text, value=value)


def _gateway(health: Health, about: dict[str, str]) -> Iterator[Metric]:
    yield InfoMetricFamily("manovac_gateway", "Which gateway this is", value=about)
    clock = GaugeMetricFamily("manovac_clock_state", "1 for the state that the clock is in", labels=["state"])
    clock.add_metric([health.sync], 1)
    yield clock
    yield _gauge("loop_lag_seconds", "Largest delay of the event loop since the last time", health.loop_lag_s)
    yield _gauge("memory_bytes", "Resident set", health.memory_bytes)
    yield _gauge("queue_messages", "Messages that wait for the broker", health.queue_messages)
    yield _gauge("queue_bytes", "Their bytes", health.queue_bytes)
    yield _gauge("queue_oldest_seconds", "How long the oldest of them has waited", health.queue_oldest_s)
    yield _gauge("journal_rows", "Messages in the journal", health.journal_rows)
    yield _gauge("journal_failing", "1 while the journal cannot be written", bool(health.journal_problem))
    losses = CounterMetricFamily("manovac_losses", "Messages and polls that were lost", labels=["cause"])
    for cause, number in health.losses.items():
        losses.add_metric([cause], number)
    failures = CounterMetricFamily("manovac_failures", "Failures of parts of the gateway", labels=["part"])
    for part, its in health.failures.items():
        failures.add_metric([part], its.failures)
    commands = CounterMetricFamily("manovac_commands", "Commands that came", labels=["code"])
    for code, number in health.commands.items():
        commands.add_metric([code], number)
    yield from (losses, failures, commands)


def _link(link: LinkStatistics) -> Iterator[Metric]:
    yield _gauge("mqtt_connected", "1 while the broker is there", link.connected)
    yield _gauge("mqtt_in_flight_messages", "Handed to the broker, not yet acknowledged", link.in_flight)
    yield _count("mqtt_published", "Messages handed to the broker", link.published)
    yield _count("mqtt_acknowledged", "Messages that the broker has taken", link.acknowledged)
    yield _count("mqtt_refused", "Messages that the broker has turned down", link.refused)
    yield _count("mqtt_reconnects", "Connections after the first", link.reconnects)
    yield _count("mqtt_taken_over", "Times that somebody else has taken our client id", link.taken_over)


def _buses(health: Health) -> Iterator[Metric]:
    up = GaugeMetricFamily("manovac_bus_up", "1 while its port is open", labels=["bus"])
    connects = CounterMetricFamily("manovac_bus_connects", "Times that its port was opened", labels=["bus"])
    foreign = CounterMetricFamily(
        "manovac_bus_foreign_frames", "Intact frames of units that are not in the rig", labels=["bus"]
    )
    overruns = CounterMetricFamily("manovac_overruns", "Polls that ended when the next was due", labels=["bus"])
    for name, bus in health.buses.items():
        overruns.add_metric([name], bus.overruns)
        up.add_metric([name], bus.up)
        connects.add_metric([name], bus.connects)
        foreign.add_metric([name], bus.foreign)
    yield from (up, connects, foreign, overruns)


def _units(health: Health) -> Iterator[Metric]:
    labels = ["bus", "unit"]
    attempts = CounterMetricFamily("manovac_attempts", "Attempts to read a unit", labels=[*labels, "outcome"])
    unused = CounterMetricFamily(
        "manovac_unused_frames", "Intact frames of a unit that no attempt took", labels=[*labels, "kind"]
    )
    line = CounterMetricFamily("manovac_line_seconds", "Line time that a unit's attempts took", labels=labels)
    mean = GaugeMetricFamily("manovac_round_trip_mean_seconds", "Mean time of an answer", labels=labels)
    longest = GaugeMetricFamily("manovac_round_trip_longest_seconds", "Longest time of an answer", labels=labels)
    for place, unit in _each_unit(health.buses.items()):
        for outcome, number in unit.attempts.items():
            attempts.add_metric([*place, outcome], number)
        for kind, number in unit.unused.items():
            unused.add_metric([*place, kind], number)
        line.add_metric(place, unit.line_s)
        if unit.round_trip_mean_s is not None and unit.round_trip_longest_s is not None:
            mean.add_metric(place, unit.round_trip_mean_s)
            longest.add_metric(place, unit.round_trip_longest_s)
    yield from (attempts, unused, line, mean, longest)


def _each_unit(buses: Iterable[tuple[str, BusHealth]]) -> Iterator[tuple[list[str], UnitHealth]]:
    for name, bus in buses:
        for unit, health in bus.units.items():
            yield [name, str(unit)], health
