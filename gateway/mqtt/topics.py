"""The topics of one gateway, pure: `manovac/v1/<station>/...`.

Levels are ids of the rig file (`[a-z0-9_-]+`), so no broker, NATS included, trips over a dot, a space or a `$`.
"""

from dataclasses import dataclass
from typing import Final

_ROOT: Final = "manovac/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Where one gateway of one station publishes."""

    station: str
    gateway: str

    @property
    def base(self) -> str:
        """What all topics of the station begin with, without a slash at the end."""
        return f"{_ROOT}/{self.station}"

    def reading(self, *, segment: str, quantity: str, transducer: str) -> str:
        """Latest reading of one channel: retained, QoS 1."""
        return f"{self.base}/seg/{segment}/{quantity}/{transducer}"

    def batch(self, segment: str) -> str:
        """Every reading of a segment, the stream of record: not retained, QoS 1."""
        return f"{self.base}/seg/{segment}/batch"

    def segment_state(self, segment: str) -> str:
        """What the transducers of a segment say together: retained, QoS 1."""
        return f"{self.base}/seg/{segment}/state"

    @property
    def leak(self) -> str:
        """Whether, how fast and where the station loses air: retained, QoS 1."""
        return f"{self.base}/leak"

    def hatch(self, hatch: str) -> str:
        """Whether a hatch lets air pass: retained, QoS 1."""
        return f"{self.base}/hatch/{hatch}"

    def alarm(self, alarm: str) -> str:
        """One alarm: retained until it is cleared, QoS 1."""
        return f"{self.base}/alarm/{alarm}"

    @property
    def status(self) -> str:
        """Whether the gateway is online, also the Will: retained, QoS 1."""
        return f"{self.base}/gw/{self.gateway}/status"

    @property
    def meta(self) -> str:
        """What the gateway is and measures with: retained, QoS 1."""
        return f"{self.base}/gw/{self.gateway}/meta"

    @property
    def health(self) -> str:
        """How the gateway and its buses do: not retained, QoS 0."""
        return f"{self.base}/gw/{self.gateway}/health"

    def event(self, kind: str) -> str:
        """Each transition of that kind once, numbered: not retained, QoS 1."""
        return f"{self.base}/event/{kind}"

    @property
    def commands(self) -> str:
        """Filter of all commands to this gateway: never retained, QoS 1."""
        return f"{self.base}/cmd/{self.gateway}/#"

    def command(self, name: str) -> str:
        """One kind of command to this gateway."""
        return f"{self.base}/cmd/{self.gateway}/{name}"

    def acknowledgement(self, consumer: str) -> str:
        """How much of this gateway's record a consumer has stored: retained, QoS 1."""
        return f"{self.base}/ack/{self.gateway}/{consumer}"

    def response(self, command_id: str) -> str:
        """Answer to the command of that id: not retained, QoS 1."""
        return f"{self.base}/rsp/{self.gateway}/{command_id}"


def kind(topic: str) -> str:
    """Return what is remembered of a topic: each answer has one of its own, and what is true of one is true of all."""
    levels = topic.split("/")
    return "/".join(levels[:5]) if levels[3:4] == ["rsp"] else topic


def late_topic(topic: str) -> str:
    """Return where a message of that topic goes after an outage: a batch to its segment's `late`.

    Who acts on what is live must not act on it; the schema is the same.
    """
    head, _, last = topic.rpartition("/")
    return f"{head}/late" if last == "batch" else topic
