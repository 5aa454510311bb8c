"""The commands of a gateway as words and bytes: `cmd/<gateway>/<name>` in, `rsp/<gateway>/<id>` out. Pure.

A command is one JSON object: an envelope and the command's own keys beside it. The classes here are the only place
where their keys are described: what comes in is checked by them, `schemas/command-*.json` and docs/commands.md are
compared with them. Who obeys is `gateway.operations`; who may, and what has been answered already, `gateway.desk`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict
from pydantic_core import ErrorDetails

from drivers.rig import HatchState
from drivers.rig_gateway import ISSUER_PATTERN
from gateway.alarms import LONGEST_ON_SHELF_S
from gateway.leak.event import Event

VERSION: Final = 1
LONGEST: Final = 4096
"""Bytes of a command."""
LONGEST_LIFE_S: Final = 3600.0
"""By which `not_after` may lie ahead: for so long, at least, a gateway remembers what it has answered."""
MOST_KG: Final = 1e5
MOST_S: Final = 86_400.0
_LONGEST_NAME: Final = 64
_LONGEST_TEXT: Final = 2000
_ENVELOPE: Final = {"v", "id", "not_after", "by"}
_ID: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")

Id = Annotated[
    str, Field(pattern=r"^[a-z0-9_-]{1,64}$", description="of the sender's choice; it names the topic of the answer")
]
Issuer = Annotated[str, Field(pattern=ISSUER_PATTERN, description="who says so, as a user at the broker is called")]
Moment = Annotated[int, Field(ge=0, description="ms UTC; after that it is not obeyed; at most 1 h ahead")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,200}$")]
_EITHER: Final[JsonDict] = {"oneOf": [{"required": ["bus"]}, {"required": ["transducer"]}]}


class Code(StrEnum):
    """How a command ended, for programs; `text` of the answer says it for people."""

    OK = "ok"
    """It was done."""
    EXPIRED = "expired"
    """It came after its `not_after`, by the gateway's clock."""
    MALFORMED = "malformed"
    """It is no JSON, or has no usable id; without an id there is no answer."""
    TOO_LARGE = "too_large"
    """It has more than 4096 bytes; not read, not answered."""
    INVALID = "invalid"
    """A key is missing, unknown, or not as it must be."""
    UNKNOWN = "unknown_command"
    """There is no such command."""
    RETAINED = "retained"
    """It was a retained message."""
    TOO_FAR = "too_far"
    """Its `not_after` lies more than an hour ahead."""
    NOT_ALLOWED = "not_allowed"
    """Whoever gives it has no right to, by the rig file."""
    ID_REUSED = "id_reused"
    """Another command had this id."""
    TOO_MANY = "too_many"
    """More than 20 came at once, or 2 a second for long; not read, not answered."""
    BUSY = "busy"
    """Too much is being done just now: give it again later."""
    NOT_FOUND = "not_found"
    """There is no such hatch, segment, alarm, transducer, bus, setting, or number of record."""
    NOT_POSSIBLE = "not_possible"
    """It cannot be done; the text says why."""
    BAD_RIG = "bad_rig"
    """The rig file has mistakes, which the text names; the old one runs on."""
    NO_ANSWER = "no_answer"
    """The device gave no answer that could be believed; the text says what is known."""
    DEVICE_REFUSED = "device_refused"
    """The device refused."""
    NOT_CONFIRMED = "not_confirmed"
    """The device holds something else than was written, or is another one."""
    NOT_KEPT = "not_kept"
    """A calibration could not be kept, and was not changed."""
    TIMED_OUT = "timed_out"
    """It took too long and was given up; nobody knows how far it came."""
    STOPPED = "stopped"
    """The gateway ended before it was done."""
    BUG = "bug"
    """A mistake of ours; the gateway's log has it."""

    @property
    def status(self) -> "Status":
        """What a program has to know first: whether anything was done."""
        if self in (Code.OK, Code.EXPIRED):
            return "done" if self is Code.OK else "expired"
        return "failed" if self in _FAILED else "rejected"


Status = Literal["done", "rejected", "failed", "expired"]
_FAILED: Final = frozenset(
    {Code.NO_ANSWER, Code.DEVICE_REFUSED, Code.NOT_CONFIRMED, Code.NOT_KEPT, Code.TIMED_OUT, Code.STOPPED, Code.BUG}
)


class CommandError(Exception):
    """A command that is not obeyed, or was and failed; the message is for its sender."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text[:_LONGEST_TEXT]


class Command(BaseModel):
    """What all commands have.

    Attributes:
        topic, limit_s: the last level of its topic; after how long it is given up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)
    topic: ClassVar[str] = ""
    limit_s: ClassVar[float] = 15.0

    v: Literal[1]
    id: Id
    not_after: Moment
    by: Issuer

    @model_validator(mode="before")
    @classmethod
    def _as_json_has_it(cls, words: Any) -> Any:
        """Refuse null (what is not meant is left out), and true as the version, which is 1 to Python."""
        if isinstance(words, dict):
            if nulls := [key for key, value in words.items() if value is None]:
                raise ValueError(f"{nulls[0]} must not be null: leave it out")
            if words.get("v") is True:
                raise ValueError("v must be 1")
        return words

    def own_keys(self) -> dict[str, Any]:
        """Return what it says beside its envelope."""
        return self.model_dump(mode="json", exclude=_ENVELOPE, exclude_none=True)


class Hatch(Command):
    """A hatch was opened or closed."""

    topic = "hatch"

    hatch: Name
    state: HatchState


class Happening(Command):
    """Something moves air and is no leak, beginning now."""

    topic = "event"

    kind: Event
    segment: Name
    lasts_s: Annotated[float, Field(gt=0, le=MOST_S, description="until the air has settled again")]
    mass_kg: (
        Annotated[float, Field(gt=0, le=MOST_KG, description="of a repress: what is let in, as metered")] | None
    ) = None

    @model_validator(mode="after")
    def _metered(self) -> Self:
        if self.mass_kg is not None and self.kind is not Event.REPRESS:
            raise ValueError(f"mass_kg goes with {Event.REPRESS.value} only")
        return self


class Acknowledge(Command):
    """Somebody has seen an alarm."""

    topic = "acknowledge"

    alarm: Name


class Shelve(Command):
    """An alarm is not to be heard of for a while."""

    topic = "shelve"

    alarm: Name
    lasts_s: Annotated[float, Field(gt=0, le=LONGEST_ON_SHELF_S, description="then it is back, at most 8 h")]


class Replay(Command):
    """Messages of record are wanted again."""

    topic = "replay"

    first: Annotated[int, Field(ge=1)]
    last: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.last < self.first:
            raise ValueError("last must not be before first")
        return self


class Rate(Command):
    """A transducer is polled more or less often, until the gateway starts anew."""

    topic = "rate"

    transducer: Name
    poll_s: Annotated[float, Field(ge=0.01, le=MOST_S)]


class _Target(Command):
    """What is said of a bus or of one transducer."""

    model_config = ConfigDict(json_schema_extra=_EITHER)

    bus: Name | None = None
    transducer: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.bus is None) == (self.transducer is None):
            raise ValueError("needs either bus or transducer")
        return self


class Pause(_Target):
    """A bus or a transducer is not asked any more, until `resume` or the gateway's next start."""

    topic = "pause"


class Resume(_Target):
    """A bus or a transducer is asked again."""

    topic = "resume"


class Rescan(_Target):
    """A unit, or each on a bus, is asked at once, even when it rests after silence, and who it is, too."""

    topic = "rescan"
    limit_s = 600.0  # a bus may be full of silent units


class Zero(Command):
    """What a transducer shows now is to be the true pressure: its offset is changed for it."""

    topic = "zero"
    limit_s = 90.0  # five readings, and seldom ones

    transducer: Name
    at_pa: Annotated[float, Field(ge=0, le=1e9, description="the true pressure now; 0 in vacuum")]


class Calibrate(Command):
    """A transducer gets another offset and gain: true = gain * value + offset."""

    topic = "calibrate"
    limit_s = 30.0  # a card may be slow

    transducer: Name
    offset_pa: Annotated[float, Field(ge=-1e8, le=1e8)]
    gain: Annotated[float, Field(ge=0.5, le=2)]


class Write(Command):
    """A register of a device is changed: one of the `settings` in the rig file."""

    topic = "write"
    limit_s = 60.0  # a silent unit is asked some times, and others may be before it

    transducer: Name
    setting: Name
    value: Annotated[float, Field(ge=-3.5e38, le=3.5e38, description="as the register holds it")]


class Reload(Command):
    """The rig file is read anew, and the gateway goes on with it if it is good."""

    topic = "reload"
    limit_s = 30.0


KINDS: Final[Mapping[str, type[Command]]] = {
    kind.topic: kind
    for kind in (
        *(Hatch, Happening, Acknowledge, Shelve, Replay),
        *(Rate, Pause, Resume, Rescan, Zero, Calibrate, Write, Reload),
    )
}


def build(kind: type[Command], /, **words: Any) -> bytes:
    """Build a command; a word that is None is left out.

    Raises:
        ValueError: it would be refused; the message says why.
    """
    given = {key: value for key, value in words.items() if value is not None}
    try:
        command = kind.model_validate_json(orjson.dumps({"v": VERSION, **given}))
    except ValidationError as error:
        raise ValueError(_in_words(error, kind)) from None
    return orjson.dumps(command.model_dump(mode="json", exclude_none=True))


def named(payload: bytes) -> dict[str, Any]:
    """Return a payload's keys, if it has an id that an answer can be sent to.

    Raises:
        CommandError: it has none.
    """
    if len(payload) > LONGEST:
        raise CommandError(Code.TOO_LARGE, f"{len(payload)} bytes are more than {LONGEST}")
    try:
        words = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise CommandError(Code.MALFORMED, f"it is not JSON: {error}") from None
    command_id = words.get("id") if isinstance(words, dict) else None
    if not isinstance(command_id, str) or not 0 < len(command_id) <= _LONGEST_NAME or not set(command_id) <= _ID:
        text = f"it needs an id of up to {_LONGEST_NAME} small letters, digits, '_' and '-'"
        raise CommandError(Code.MALFORMED, text)
    return dict(words)


def read(name: str, payload: bytes) -> Command:
    """Read a command of that name.

    Raises:
        CommandError: there is no such command, or it is not as it must be.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise CommandError(Code.UNKNOWN, f"no such command (there are: {', '.join(KINDS)})")
    try:
        return kind.model_validate_json(payload)
    except ValidationError as error:
        raise CommandError(Code.INVALID, _in_words(error, kind)) from None


def _in_words(error: ValidationError, kind: type[Command]) -> str:
    return "; ".join(_mistake(each, kind) for each in error.errors(include_url=False)[:5])


def _mistake(error: ErrorDetails, kind: type[Command]) -> str:
    key = str(error["loc"][0])[:_LONGEST_NAME] if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}' (known: {', '.join(kind.model_fields)})"
    if error["type"] == "missing":
        return f"missing key '{key}'"
    text = str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]
    return f"{key} {text}".strip().replace("Input should be", "must be").replace("String should", "must")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a command ended.

    Attributes:
        id, by: None where they could not be read.
        name: of the command, as its topic has it.
        text: for people; empty when it was done.
        result: what came of it, by command.
        keys: the command's own; None where it could not be read.
        digest: tells this command from another one of its id; None where it has no id.
    """

    id: str | None
    name: str
    by: str | None
    code: Code
    text: str = ""
    result: Mapping[str, Any] | None = None
    keys: Mapping[str, Any] | None = None
    digest: str | None = None

    def words(self) -> dict[str, Any]:
        """Return what answers and events say of it."""
        return {
            "id": self.id,
            "name": self.name[:_LONGEST_NAME],
            "by": self.by,
            "status": self.code.status,
            "code": self.code.value,
            "text": self.text,
            "result": self.result,
            "keys": self.keys,
            "digest": self.digest,
        }


def answer(words: Mapping[str, Any], *, gateway: str, boot: str, n: int, t_ms: int) -> bytes:
    """Build the answer to a command that has an id: the words of its verdict, under the number of its record."""
    return orjson.dumps({"v": VERSION, "gw": gateway, "boot": boot, "n": n, "t": t_ms, **words})


def acknowledged(n: int) -> bytes:
    """Build what a consumer says of a gateway's record: everything up to that number is stored."""
    return orjson.dumps({"v": VERSION, "n": n})
