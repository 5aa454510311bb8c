"""The rig file's words that only the gateway heeds: broker, journal, HTTP, who may command, leaks."""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from drivers.rig_words import (
    Duration,
    Period,
    PositivePressure,
    PressureError,
    PressureRate,
    Size,
    TemperatureError,
    Words,
)

ISSUER_PATTERN = r"^[A-Za-z0-9._@-]{1,64}$"
"""Who gives commands: the name of a user at the broker."""
_ISSUERS_PATTERN = r"^(\*|[A-Za-z0-9._@-]{1,64})$"


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address, such as 127.0.0.1, or 0.0.0.0 for all of this machine's") from None


class Secret(Words):
    """A password that stands elsewhere, in one of three places.

    Attributes:
        env: environment variable.
        file: that only its owner can read.
        credential: name of a systemd credential (`LoadCredential=`, `LoadCredentialEncrypted=`) of the service.
    """

    env: Annotated[str, Field(min_length=1)] | None = None
    file: Annotated[str, Field(min_length=1)] | None = None
    credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")] | None = None


BrokerUrl = Annotated[str, Field(pattern=r"^mqtts?://")]


class Mqtt(Words):
    """Where readings go, and as whom.

    Attributes:
        url: mqtts:// for TLS, which always verifies the broker: no word turns that off.
        more_urls: where the same broker is too, when it is a cluster: tried in turn, each under its own name.
        password: where it stands; itself only in a file that nobody else can read.
        batch: s; 0 publishes each poll at once.
        ca_file: PEM of the authorities that may vouch for the broker; those of the system when not given.
        client_cert, client_key: PEM, by which the broker knows this gateway.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    url: BrokerUrl = "mqtt://127.0.0.1:1883"
    more_urls: Annotated[tuple[BrokerUrl, ...], Field(max_length=31)] = ()
    username: str | None = None
    password: Secret | SecretStr | None = None
    batch: Duration = 1.0
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses of the broker, the first one first."""
        return (self.url, *self.more_urls)


class Journal(Words):
    """Where the gateway keeps what it has said, until the broker has it and for as long as there is room.

    Attributes:
        keep: "disk" survives a power cut; "card" spares an SD card: only events, and what the broker has not taken for
            5 s, are written; "memory" loses with the process what the broker has not taken.
        path: the file; None is `<station>-<gateway>.sqlite` in the service's or the user's state folder.
        size, age: bytes and s beyond which the oldest telemetry is dropped; events never are.
        commit: s; telemetry is written at most that often, which spares an SD card.
    """

    keep: Literal["disk", "card", "memory"] = "disk"
    path: str | None = None
    size: Size = 256e6
    age: Period = 30 * 86_400.0
    commit: Duration = 1.0


def _one_place(secret: Secret) -> Secret:
    if [secret.env, secret.file, secret.credential].count(None) != 2:
        raise ValueError("give either env, file or credential")
    return secret


class Http(Words):
    """Where the gateway answers by HTTP: metrics and whether it is well.

    Attributes:
        port: None answers nowhere; 0 takes any that is free.
        listen: the IP address of this machine to listen at.
        names: by which it may be asked, besides IP addresses and localhost.
        token: what a request that changes something must bear.
    """

    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    listen: Annotated[str, AfterValidator(_ip_address)] = "127.0.0.1"
    names: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")], ...] = ()
    token: Annotated[Secret, AfterValidator(_one_place)] | None = None


Issuers = Annotated[str, Field(pattern=_ISSUERS_PATTERN)]
CommandName = Literal[
    "hatch",
    "event",
    "acknowledge",
    "shelve",
    "replay",
    "rate",
    "pause",
    "resume",
    "rescan",
    "zero",
    "calibrate",
    "write",
    "reload",
    "*",
]


class Permission(Words):
    """What somebody may command; "*" is everything."""

    allow: tuple[CommandName, ...]


class Leak(Words):
    """How the gateway watches for leaks; the defaults do for a first look.

    Attributes:
        false_alarm_every: s, the mean time between false alarms of the whole station; all thresholds follow from it.
        reserve_pressure: Pa, to which reserve times count.
        temperature_error: K, standard deviation between a segment's mean temperature and the measured one, each segment
            for itself; it sets what can be seen at all. Where no temperature is measured, it is at least 0.3 K.
        gas_error: Pa, standard deviation of what crew and machines do without any leak to gases that are not measured.
        depress_rate: Pa/s; a segment whose pressure falls that fast trips an alarm of its own, whatever the statistics
            say. (1 mmHg/min: ours, no published figure was found.)
        low_pressure: Pa, below which a segment trips one, too; None turns that off.
    """

    false_alarm_every: Period = 30 * 86_400.0
    reserve_pressure: PositivePressure = 66_700.0
    temperature_error: TemperatureError = 0.01
    gas_error: PressureError = 0.0
    depress_rate: PressureRate = 133.322387415 / 60.0
    low_pressure: PositivePressure | None = None
