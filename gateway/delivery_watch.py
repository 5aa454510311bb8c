"""Watches how messages get to disk and broker, pure.

What the broker refuses is an alarm, and so is somebody with our name, and a journal that cannot be written.
"""

from collections.abc import Iterator
from typing import Final

from gateway.alarms import Condition, Observation, Priority
from gateway.mqtt.outbox import LinkStatistics

_GONE_S: Final = 60.0  # without any more of it
_DOWN_S: Final = 9.5  # at two looks in a row, which are 10 s apart


class DeliveryWatch:
    """Compares the link with how it was before, and asks how the journal does.

    Args:
        gateway: its id; a station may have several gateways, and each has alarms of its own.

    Attributes:
        ids: of its alarms.
    """

    def __init__(self, gateway: str) -> None:
        self._refused = self._condition("mqtt-refused", gateway, off_delay_s=_GONE_S)
        self._taken_over = self._condition("mqtt-client-id-taken", gateway, off_delay_s=_GONE_S)
        self._down = self._condition("journal-down", gateway, on_delay_s=_DOWN_S)
        self.ids = frozenset(each.id for each in (self._refused, self._taken_over, self._down))
        self._seen: dict[str, int] = {}

    @staticmethod
    def _condition(cause: str, gateway: str, *, on_delay_s: float = 0.0, off_delay_s: float = 0.0) -> Condition:
        return Condition(
            id=f"{cause}-{gateway}",
            priority=Priority.WARNING,
            cause=cause,
            on_delay_s=on_delay_s,
            off_delay_s=off_delay_s,
        )

    def look(self, link: LinkStatistics) -> Iterator[Observation]:
        """Yield whether there is more of it than at the last look, and whether what is said cannot be made safe."""
        for condition, number in ((self._refused, link.refused), (self._taken_over, link.taken_over)):
            yield Observation(condition=condition, there=number > self._seen.get(condition.id, 0))
            self._seen[condition.id] = number
        yield Observation(condition=self._down, there=bool(link.outbox.journal_problem))
