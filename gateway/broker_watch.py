"""Watches what the broker lets the gateway do, pure: what it refuses is an alarm, and so is somebody with our name."""

from collections.abc import Iterator
from typing import Final

from gateway.alarms import Condition, Observation, Priority
from gateway.mqtt.outbox import LinkStatistics

_GONE_S: Final = 60.0  # without any more of it


class BrokerWatch:
    """Compares the link with how it was before.

    Args:
        gateway: its id; a station may have several gateways, and each has alarms of its own.
    """

    def __init__(self, gateway: str) -> None:
        self._refused = self._condition("mqtt-refused", gateway)
        self._taken_over = self._condition("mqtt-client-id-taken", gateway)
        self._seen: dict[str, int] = {}

    @staticmethod
    def _condition(cause: str, gateway: str) -> Condition:
        return Condition(id=f"{cause}-{gateway}", priority=Priority.WARNING, cause=cause, off_delay_s=_GONE_S)

    def look(self, link: LinkStatistics) -> Iterator[Observation]:
        """Yield whether there is more of it than at the last look."""
        for condition, number in ((self._refused, link.refused), (self._taken_over, link.taken_over)):
            yield Observation(condition=condition, there=number > self._seen.get(condition.id, 0))
            self._seen[condition.id] = number
