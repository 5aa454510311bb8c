"""Who may do what at the broker, and the files that tell mosquitto or NATS so. Pure.

A gateway writes where its rig file says that it measures, and below its own name; it reads its own commands and
acknowledgements. Everybody is known by the common name of a client certificate.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

from drivers.rig import Rig
from drivers.rig_gateway import CommandName
from gateway.desk import may
from gateway.mqtt.topics import Topics

COMMANDS: Final = tuple(name for name in get_args(CommandName) if name != "*")
_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]+")
_ROUTES: Final = 6222  # NATS' usual port for its servers among themselves
LARGEST_MESSAGE: Final = 256 * 2**10
"""Bytes; what the link sends at most when a broker states no limit."""
WRITTEN_BY: Final = "# Written by `manovac broker-config`: change the rig file or the command, not this file."


class AccessError(ValueError):
    """Nobody can be given access like this; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One client certificate.

    Attributes:
        name: its common name.
        role: for people.
        writes, reads: topic filters, with `#` only as the last level.
    """

    name: str
    role: str
    writes: tuple[str, ...]
    reads: tuple[str, ...]


def user_name(rig: Rig) -> str:
    """Return the common name that the certificate of a rig's gateway must have."""
    return rig.mqtt.username or rig.station.gateway


def users(
    rigs: Sequence[Rig], *, viewers: Iterable[str] = (), consumers: Iterable[str] = (), operators: Iterable[str] = ()
) -> list[User]:
    """Return who may do what.

    Args:
        rigs: one for each gateway.
        viewers: read everything of these stations.
        consumers: that too, and acknowledge what they have stored and ask for it again.
        operators: read everything and command what `[commands]` lets them.

    Raises:
        AccessError: a name that is no name, or that two have.
    """
    bases = sorted({_base(rig) for rig in rigs})
    found = [_gateway(rig, rigs) for rig in rigs]
    reads = tuple(f"{base}/#" for base in bases)
    found += [User(name=name, role="viewer", writes=(), reads=reads) for name in viewers]
    for name in consumers:
        writes = (*(f"{base}/ack/+/{name}" for base in bases), *_commands(rigs, name, ("replay",)))
        found.append(User(name=name, role="consumer", writes=writes, reads=reads))
    for name in operators:
        found.append(User(name=name, role="operator", writes=_commands(rigs, name, COMMANDS), reads=reads))
    _check_names(found)
    _check_gateways(rigs)
    return found


def shared_places(rigs: Sequence[Rig]) -> dict[str, list[Rig]]:
    """Return the segments and coolant loops of one station that several rigs name: each may write their readings."""
    places: dict[str, list[Rig]] = {}
    for rig in rigs:
        for place in (*rig.segments, *rig.coolants):
            places.setdefault(f"{rig.station.id}/{place}", []).append(rig)
    return {place: there for place, there in places.items() if len(there) > 1}


def _commands(rigs: Iterable[Rig], user: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return where a user may command: whatever a payload says of who gives it, the broker knows who does."""
    return tuple(
        f"{_base(rig)}/cmd/{rig.station.gateway}/{name}"
        for rig in rigs
        for name in names
        if may(rig.commands, user, name)
    )


def _base(rig: Rig) -> str:
    return Topics(station=rig.station.id, gateway=rig.station.gateway).base


def _gateway(rig: Rig, rigs: Sequence[Rig]) -> User:
    base, own = _base(rig), rig.station.gateway
    alone = sum(_base(other) == base for other in rigs) == 1
    places = ["#"] if alone else [f"{place}/#" for place in (*rig.segments, *rig.coolants)]
    shared = [*(f"seg/{place}" for place in places), "leak", "hatch/#", "alarm/#", "event/#"]
    return User(
        name=user_name(rig),
        role=f"gateway {own} of station {rig.station.id}",
        writes=tuple(f"{base}/{rest}" for rest in (*shared, f"gw/{own}/#", f"rsp/{own}/#")),
        reads=tuple(f"{base}/{rest}/{own}/#" for rest in ("cmd", "ack")),
    )


def _check_names(found: Sequence[User]) -> None:
    roles: dict[str, str] = {}
    for user in found:
        if not _NAME.fullmatch(user.name):
            raise AccessError(
                f"'{user.name}' ({user.role}) cannot be the name of a user: letters, digits, '.', '_', '@' and '-'"
            )
        if user.role == "consumer" and not re.fullmatch(r"[a-z0-9_-]+", user.name):
            raise AccessError(f"'{user.name}' (consumer) becomes a topic level: small letters, digits, '-' and '_'")
        if user.name in roles:
            raise AccessError(
                f"'{user.name}' is {roles[user.name]} and {user.role}: each needs a certificate of its own name; "
                "mqtt.username in the rig file names a gateway's"
            )
        roles[user.name] = user.role


def _check_gateways(rigs: Sequence[Rig]) -> None:
    seen = set()
    for rig in rigs:
        station, gateway = rig.station.id, rig.station.gateway
        if (station, gateway) in seen:
            raise AccessError(f"two rig files are of gateway {gateway} of station {station}: both would be one")
        seen.add((station, gateway))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where the broker listens, and where its files are.

    Attributes:
        address: None for all of the machine's.
        certificates: folder of `ca.crt`, `broker.crt` and `broker.key`.
        revocations: whether `ca.crl` is there too, the certificates that the authority has taken back.
    """

    address: str | None
    port: int
    certificates: str
    revocations: bool = False

    @property
    def place(self) -> str:
        """Address and port as NATS writes them."""
        return f"{_bracketed(self.address or '0.0.0.0')}:{self.port}"


def _bracketed(host: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def mosquitto_conf(listener: Listener, acl_file: str) -> str:
    """Return mosquitto's settings (2.0 or newer)."""
    where = f"{listener.port} {listener.address}" if listener.address else f"{listener.port}"
    return f"""\
{WRITTEN_BY}
listener {where}
cafile {listener.certificates}/ca.crt
certfile {listener.certificates}/broker.crt
keyfile {listener.certificates}/broker.key
{f"crlfile {listener.certificates}/ca.crl" if listener.revocations else "# crlfile: with --revocations"}
# the oldest version that is spoken
tls_version tlsv1.2

# Who has no certificate of the authority is not let in; its common name is the user, and the client id too, so that
# nobody can throw out another by connecting under its id. So each program needs a certificate of its own.
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {acl_file}

# Larger packets cut the connection; with the limit of MQTT 3.1.1 (message_size_limit) they vanish acknowledged.
max_packet_size {LARGEST_MESSAGE}
# For subscribers that are slow or away: the default, 1000, silently drops what a fast gateway sends.
max_inflight_messages 100
max_queued_messages 10000
max_queued_bytes {64 * 2**20}
"""


def mosquitto_acl(found: Iterable[User]) -> str:
    """Return mosquitto's access list: what it does not name is forbidden."""
    blocks = [WRITTEN_BY]
    for user in found:
        rules = [f"topic write {topic}" for topic in user.writes] + [f"topic read {topic}" for topic in user.reads]
        blocks.append("\n".join([f"# {user.role}", f"user {user.name}", *rules]))
    return "\n\n".join(blocks) + "\n"


def nats_conf(found: Iterable[User], listener: Listener, store: str, cluster: Sequence[str] = (), own: str = "") -> str:
    """Return the settings of one NATS server with its MQTT listener.

    Args:
        found: who may do what.
        listener: where gateways come.
        store: folder of its messages.
        cluster: names or addresses of all its servers; empty when it is alone.
        own: which of them this one is.
    """
    rows = ",\n".join(_nats_user(user) for user in found)
    return f"""\
{WRITTEN_BY}
# NATS speaks MQTT 3.1.1. What this file cannot do, and mosquitto can: a publish that is not allowed is dropped but
# acknowledged, only this server's log tells; any client can throw out another by connecting under its client id.
# There are only rules that allow: versions before 2.12.12 deliver retained messages past rules that deny.
# A certificate's subject must be its common name alone.
server_name: "{own or "manovac"}"
# NATS' own protocol, which nobody needs here: for this machine alone, on any port
listen: "127.0.0.1:-1"
max_payload: {LARGEST_MESSAGE}
jetstream {{ store_dir: "{store}" }}
{_nats_cluster(listener, cluster) if cluster else ""}mqtt {{
  listen: "{listener.place}"
  ack_wait: "5s"
  max_ack_pending: 1000
{_nats_tls(listener, "verify_and_map")}
}}
authorization {{
  users: [
{rows}
  ]
}}
"""


def _nats_tls(listener: Listener, checks: str) -> str:
    return f"""\
  tls {{
    ca_file: "{listener.certificates}/ca.crt"
    cert_file: "{listener.certificates}/broker.crt"
    key_file: "{listener.certificates}/broker.key"
    {checks}: true
  }}"""


def _nats_cluster(listener: Listener, servers: Sequence[str]) -> str:
    """Return how a server finds the others; each keeps a copy of everything, for that is what three are for."""
    routes = ", ".join(f'"tls://{_bracketed(server)}:{_ROUTES}"' for server in servers)
    return f"""\
cluster {{
  name: "manovac"
  listen: "{replace(listener, port=_ROUTES).place}"
  routes: [{routes}]
{_nats_tls(listener, "verify")}
}}
"""


def _nats_user(user: User) -> str:
    writes = _nats_list([subject for topic in user.writes for subject in _subjects(topic)])
    # $MQTT.sub. is where NATS hands QoS 1 messages to the session; the server lets nobody subscribe to it by MQTT.
    reads = _nats_list([subject for topic in user.reads for subject in _subjects(topic)] + ["$MQTT.sub.>"])
    return f"""\
    # {user.role}
    {{ user: "CN={user.name}", permissions: {{
      publish: {writes if user.writes else '{ deny: ">" }'}
      subscribe: {reads}
    }} }}"""


def _nats_list(subjects: Sequence[str]) -> str:
    rows = ",\n        ".join(f'"{subject}"' for subject in subjects)
    return f"[\n        {rows}\n      ]"


def _subjects(topic: str) -> list[str]:
    """Return NATS' subjects of a topic filter; `a/#` is also `a`, which NATS' `>` is not."""
    levels = topic.split("/")
    subject = ".".join("*" if level == "+" else level for level in levels)
    return [subject.removesuffix(".#"), subject.removesuffix("#") + ">"] if levels[-1] == "#" else [subject]
