"""Looks for transducers on a line of which little is known: at every baud and format, every unit, in the families' words."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from drivers.bus import Bus
from drivers.exchange import Attempt, Outcome
from drivers.model import Model
from drivers.rig import Bus as BusWords
from drivers.transport.choose import transport_for
from drivers.transport.transport import MakeTransport
from drivers.wire.ascii_line import LineRequest
from drivers.wire.modbus import READ_HOLDING, read_registers

_ANSWERED = (Outcome.REPLY, Outcome.EXCEPTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A unit that answered.

    Attributes:
        model: family that recognised itself, None for a Modbus device of a family that nobody here knows.
        text: who it says it is.
        round_trip_s: from the end of the question to the start of the answer.
    """

    baud: int
    format: str
    unit: int
    model: str | None
    text: str
    round_trip_s: float


@dataclass(slots=True)
class Setting:
    """One line setting that was tried, and what was heard there beside proper answers.

    Attributes:
        asked: questions put.
        silent: questions after which no byte came.
        garbled: what came that was no whole frame.
        others: whole frames of units that had not been asked.
    """

    baud: int
    format: str
    asked: int = 0
    silent: int = 0
    garbled: list[bytes] = field(default_factory=list)
    others: int = 0

    def note(self, attempt: Attempt) -> None:
        """Count one question and how it ended."""
        self.asked += 1
        if attempt.outcome is Outcome.TIMEOUT:
            self.silent += 1
        elif attempt.outcome in (Outcome.FOREIGN, Outcome.LATE):
            self.others += 1
        elif attempt.outcome not in _ANSWERED and attempt.heard:
            self.garbled.append(attempt.heard)


async def scan(
    line: BusWords,
    *,
    bauds: Sequence[int],
    formats: Sequence[str],
    units: Iterable[int],
    models: Sequence[Model],
    make_transport: MakeTransport = transport_for,
) -> AsyncIterator[Found | Setting]:
    """Try every setting, and at each ask every unit; yield whoever is found, and each setting when it is done.

    Raises:
        ConnectionError: the port cannot be opened.
    """
    units = list(units)
    for baud in bauds:
        for data_format in formats:
            words = line.model_copy(update={"baud": baud, "format": data_format})
            setting = Setting(baud, data_format)
            speaking = [each for each in models if _speaks(each, words)]
            async with Bus("scan", words, make_transport=make_transport).opened() as bus:
                for unit in units:
                    found = await _hail(bus, unit, speaking, setting)
                    if found is not None:
                        yield found
            yield setting


def _speaks(model: Model, words: BusWords) -> bool:
    if model.hail is None or words.kind not in model.kinds:
        return False
    return words.baud in model.bauds and words.format in model.formats


async def _hail(bus: Bus, unit: int, models: Sequence[Model], setting: Setting) -> Found | None:
    """Ask one unit: any Modbus device answers a read, if only by refusing it; then its family is asked for by name."""
    anybody: Attempt | None = None
    if unit > 0 and bus.words.kind != "line-over-tcp":
        attempt = await bus.probe(read_registers(unit, READ_HOLDING, 0, 1))
        setting.note(attempt)
        anybody = attempt if attempt.outcome in _ANSWERED else None
    for model in models:
        if model.hail is None or unit not in model.units:
            continue
        question = model.hail(unit)
        if isinstance(question, LineRequest) == (anybody is not None):
            continue  # who answers Modbus does not speak lines of text, and who does not is not asked in Modbus again
        attempt = await bus.probe(question)
        setting.note(attempt)
        text = model.recognise(attempt.frame) if model.recognise and attempt.outcome is Outcome.REPLY else None
        if text:
            return _found(setting, unit, model.name, text, attempt)
    return _found(setting, unit, None, "Modbus device of unknown family", anybody) if anybody else None


def _found(setting: Setting, unit: int, model: str | None, text: str, attempt: Attempt) -> Found:
    return Found(
        baud=setting.baud,
        format=setting.format,
        unit=unit,
        model=model,
        text=text,
        round_trip_s=attempt.answered_s - attempt.sent_s,
    )
