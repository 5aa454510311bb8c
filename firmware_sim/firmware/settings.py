"""What a device is set to: what is in force, what it keeps without power, and how often it wrote that."""

from collections.abc import ItemsView, Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Settings(Generic[K, V]):
    """The settings of one device by name or register.

    Attributes:
        writes: how often its memory was written. That bears few writes: whoever does it at each start, or in each poll,
            wears the device out.
    """

    def __init__(self, values: Mapping[K, V]) -> None:
        self._kept = dict(values)
        self._now = dict(values)
        self.writes = 0

    def __getitem__(self, name: K) -> V:
        return self._now[name]

    def __contains__(self, name: object) -> bool:
        return name in self._now

    def __iter__(self) -> Iterator[K]:
        return iter(self._now)

    def items(self) -> ItemsView[K, V]:
        """Return all that is in force."""
        return self._now.items()

    def put(self, name: K, value: V) -> None:
        """Set something for good, at once."""
        self._now[name] = value
        self.store(name, value)

    def store(self, name: K, value: V) -> None:
        """Set something from the next start on."""
        self._kept[name] = value
        self.writes += 1

    def try_out(self, name: K, value: V) -> None:
        """Set something until power is lost, unless it is saved."""
        self._now[name] = value

    def save(self) -> None:
        """Keep all that is in force."""
        self._kept = dict(self._now)
        self.writes += 1

    def restore(self) -> None:
        """Put in force what was kept: power came back."""
        self._now = dict(self._kept)
