"""Two ways to answer a driver without a bus: from a script, and by the emulator's firmware (`drivers.conformance`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.conformance import Direct as Emulated
from drivers.conformance import found as attempt
from drivers.exchange import Attempt, Outcome, Quiet, Request
from drivers.model import Driver
from drivers.rig import Bus, BusKind, Transducer

__all__ = ["Emulated", "Script", "assert_fences_are_of_their_own_kind", "attempt", "bus", "transducer"]


def bus(kind: BusKind = BusKind.SERIAL, **words: object) -> Bus:
    return Bus.model_validate({"kind": kind, "port": "/dev/ttyUSB0", **words})


def transducer(model: str, **words: object) -> Transducer:
    return Transducer.model_validate({"model": model, "bus": "b", "segment": "s", **words})


@dataclass
class Script:
    """Answers by frame; a frame without an answer is left in silence. One second passes with each question."""

    answers: Mapping[bytes, bytes | Outcome]
    asked: list[bytes] = field(default_factory=list)
    now_s: float = 0.0

    async def __call__(self, request: Request) -> Attempt:
        self.asked.append(request.frame)
        self.now_s += 1.0
        answer = self.answers.get(request.frame, b"")
        if isinstance(answer, Outcome):
            end = self.now_s + 0.02
            return Attempt(
                request=request, outcome=answer, frame=b"", code=None, heard=b"", sent_s=self.now_s, answered_s=end
            )
        return attempt(request, answer, self.now_s)


def assert_fences_are_of_their_own_kind(driver: Driver) -> None:
    """Check what `Driver.fences` promises."""
    assert not isinstance(driver.fences, Quiet)
    assert len(driver.fences) >= 2
    for fence in driver.fences:
        others = [other for other in (*driver.requests, *driver.fences) if other is not fence]
        assert not any(fence.confusable(other) or other.confusable(fence) for other in others)
