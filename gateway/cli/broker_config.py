"""`manovac broker-config`: what a broker needs to know of a rig, so that it lets nobody else in."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from collections.abc import Mapping, Sequence

    from drivers.rig import Rig
    from gateway.mqtt.access import Listener, User

_TLS_PORT: Final = 8883


class Broker(StrEnum):
    """Whose files."""

    MOSQUITTO = "mosquitto"
    NATS = "nats"


_CERTIFICATES: Final = {Broker.MOSQUITTO: "/etc/mosquitto/certs", Broker.NATS: "/etc/nats/certs"}
_FOLDER: Final = "/etc/mosquitto/conf.d"


def broker_config(
    rigs: Annotated[list[Path], typer.Argument(help="The rig file of each gateway (TOML).", metavar="RIG...")],
    *,
    broker: Annotated[Broker, typer.Option(help="Whose files to write.")] = Broker.MOSQUITTO,
    to: Annotated[Path | None, typer.Option(help="Write the files into this folder.", metavar="FOLDER")] = None,
    viewer: Annotated[list[str] | None, typer.Option(help="A user who reads everything.", metavar="NAME")] = None,
    consumer: Annotated[
        list[str] | None,
        typer.Option(help="A user who also acknowledges what it has stored, and asks for it again.", metavar="NAME"),
    ] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(
            help="A user who reads everything and gives the commands that [commands] lets him.", metavar="NAME"
        ),
    ] = None,
    certificates: Annotated[
        Path | None, typer.Option(help="Folder of ca.crt, broker.crt and broker.key.", metavar="FOLDER")
    ] = None,
    revocations: Annotated[
        bool, typer.Option("--revocations", help="mosquitto: that folder has ca.crl too, certificates taken back.")
    ] = False,
    store: Annotated[Path, typer.Option(help="NATS: where it keeps messages.", metavar="FOLDER")] = Path(
        "/var/lib/nats"
    ),
) -> None:
    """Print, or write, a broker's TLS listener and access rules: each gateway its own topics, others what you name.

    Everybody needs a client certificate; its common name is the user. A gateway's is mqtt.username of its rig file, or
    station.gateway when there is none. --viewer, --consumer and --operator can be given several times.

    Exit codes: 0 ok; 1 a file cannot be written; 2 usage or rig file.
    """
    from dataclasses import replace  # noqa: PLC0415

    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt import access  # noqa: PLC0415

    words = [load_rig(path) for path in rigs]
    try:
        users = access.users(words, viewers=viewer or (), consumers=consumer or (), operators=operator or ())
    except access.AccessError as error:
        raise CommandError(str(error), USAGE) from error
    hosts = _hosts(words)
    listener = _listener(words, hosts, _printable(certificates or Path(_CERTIFICATES[broker])))
    listener = replace(listener, revocations=revocations)
    if revocations and broker is Broker.NATS:
        raise CommandError("NATS knows no list of revocations: leave the user out, who then may do nothing", USAGE)
    folder = Path(_FOLDER) if to is None else Path(_printable(to.absolute()))
    if broker is Broker.NATS:
        files = _nats_files(folder, users, listener, hosts, store)
    elif len(hosts) > 1:
        raise CommandError(
            f"a mosquitto is one server, and the rigs look for it at {', '.join(hosts)}: a cluster needs --broker nats",
            USAGE,
        )
    else:
        acl = folder / "manovac.acl"
        files = {
            folder / "manovac.conf": access.mosquitto_conf(listener, str(acl)),
            acl: access.mosquitto_acl(users),
        }
    if to is None:
        typer.echo("\n".join(f"# ---- {path.name}\n{text}" for path, text in files.items()), nl=False)
    else:
        _write(files)
    _advise(rigs, words, listener)


def _printable(path: Path) -> str:
    """Return a path that can stand in a line of settings."""
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    text = str(path)
    if not text.isprintable() or '"' in text or "\\" in text:
        raise CommandError(f"{text!r} cannot stand in a broker's settings: choose a plain path", USAGE)
    return text


def _hosts(rigs: "Sequence[Rig]") -> list[str]:
    """Return where the rigs look for their broker; several are the servers of a cluster."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    return sorted({urlsplit(url).hostname or "" for rig in rigs for url in rig.mqtt.urls})


def _nats_files(
    folder: Path, users: "Sequence[User]", listener: "Listener", hosts: "Sequence[str]", store: Path
) -> dict[Path, str]:
    """Return the settings of one server, or of each server of a cluster."""
    from dataclasses import replace  # noqa: PLC0415

    from gateway.mqtt.access import nats_conf  # noqa: PLC0415

    if len(hosts) == 1:
        return {folder / "manovac.nats.conf": nats_conf(users, listener, _printable(store.absolute()))}
    files = {}
    for host in hosts:
        own = listener if listener.address is None else replace(listener, address=host)
        text = nats_conf(users, own, _printable(store.absolute() / host), hosts, host)
        files[folder / f"manovac.{host}.nats.conf"] = text
    return files


def _listener(rigs: "Sequence[Rig]", hosts: "Sequence[str]", certificates: str) -> "Listener":
    """Return a listener where the rigs look for their broker: on this machine alone when all of them look there."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    from drivers.rig_mqtt_checks import is_loopback  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.access import Listener  # noqa: PLC0415

    urls = [urlsplit(url) for rig in rigs for url in rig.mqtt.urls]
    ports = {url.port or _TLS_PORT for url in urls if url.scheme == "mqtts"} or {_TLS_PORT}
    if len(ports) > 1:
        raise CommandError(f"the rigs' mqtt.url have different ports ({', '.join(map(str, sorted(ports)))})", USAGE)
    here = all(is_loopback(url) for rig in rigs for url in rig.mqtt.urls)
    address = (hosts[0] if len(hosts) == 1 else "localhost") if here else None
    return Listener(address=address, port=ports.pop(), certificates=certificates)


def _write(files: "Mapping[Path, str]") -> None:
    """Write all files or none; what somebody else has written there stays."""
    import uuid  # noqa: PLC0415

    from gateway.cli import CommandError  # noqa: PLC0415
    from gateway.mqtt.access import WRITTEN_BY  # noqa: PLC0415

    drafts = {path: path.with_name(f".{path.name}.{uuid.uuid4().hex}") for path in files}
    for folder in {path.parent for path in files}:
        if not folder.is_dir():
            raise CommandError(f"{folder}: no such folder")
    try:
        for path in files:
            if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(WRITTEN_BY):
                raise CommandError(f"{path} is there, and not from this command: move it away or choose another folder")
        for path, text in files.items():
            with drafts[path].open("x", encoding="utf-8") as draft:
                draft.write(text)
        for path in files:
            drafts[path].replace(path)
            typer.echo(f"wrote {path}", err=True)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error
    finally:
        for left in drafts.values():
            left.unlink(missing_ok=True)


def _advise(paths: "Sequence[Path]", rigs: "Sequence[Rig]", listener: "Listener") -> None:
    """Say what the gateways still need."""
    from gateway.mqtt.access import shared_places, user_name  # noqa: PLC0415

    if listener.address is not None:
        typer.echo(
            f"listens on {listener.address} only, where the rig looks for it; for a network put the broker's name into "
            "mqtt.url",
            err=True,
        )
    for place, there in shared_places(rigs).items():
        names = " and ".join(rig.station.gateway for rig in there)
        typer.echo(f"{place} is in the rig files of {names}: each of them may write its readings", err=True)
    for path, rig in zip(paths, rigs, strict=True):
        if rig.mqtt.url.startswith("mqtts://") and rig.mqtt.client_cert is not None:
            continue
        typer.echo(
            f'{path}: to be let in, [mqtt] needs url = "mqtts://...:{listener.port}", ca_file, and client_cert and '
            f"client_key of a certificate whose common name is {user_name(rig)}",
            err=True,
        )
