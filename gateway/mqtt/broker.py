"""From the rig file's `[mqtt]` to what a connection needs: address, credentials, TLS. Touches no wire."""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from drivers.rig import Mqtt, Secret


class MqttSettingsError(ValueError):
    """The rig file's `[mqtt]` cannot be used; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is and as whom to go there; `tls` is None for a plain connection."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None

    @property
    def name(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"


def broker(mqtt: Mqtt) -> Broker:
    """Read url and secrets; a TLS connection always verifies the broker's certificate and name.

    Raises:
        MqttSettingsError: something is missing, unreadable or contradictory.
    """
    url = urlsplit(mqtt.url)
    try:
        host, port = url.hostname, url.port
    except ValueError as error:
        raise MqttSettingsError(f"mqtt.url: {error}") from None
    if host is not None and not _nameable(host):
        raise MqttSettingsError(f"mqtt.url: '{host}' cannot be the name of a host")
    if not host or url.path.strip("/") or url.query:
        raise MqttSettingsError('mqtt.url: write "mqtt://host:port" or "mqtts://host:port", nothing behind it')
    if url.username is not None:
        raise MqttSettingsError("mqtt.url: no user in it; use mqtt.username and mqtt.password")
    tls = _tls(mqtt.ca_file) if url.scheme == "mqtts" else None
    if tls is None and mqtt.ca_file is not None:
        raise MqttSettingsError("mqtt.ca_file: means nothing without TLS; use a mqtts:// url")
    return Broker(
        host=host,
        port=port or (8883 if tls else 1883),
        username=mqtt.username,
        password=_password(mqtt.password),
        tls=tls,
    )


def _nameable(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one too
        raise MqttSettingsError(f"mqtt.ca_file: cannot load certificates from {ca_file}: {error}") from None
    context.sslsocket_class = _TlsSocket
    return context


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails, because paho forgets it then."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's signature
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _password(secret: Secret | str | None) -> str | None:
    if secret is None or isinstance(secret, str):
        return secret
    if secret.env is not None:
        value = os.environ.get(secret.env)
        if value is None:
            raise MqttSettingsError(f"mqtt.password: the environment variable {secret.env} is not set")
        return value
    if secret.file is None:
        raise MqttSettingsError('mqtt.password: name where it stands: { env = "..." } or { file = "..." }')
    try:
        return Path(secret.file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise MqttSettingsError(f"mqtt.password: cannot read {secret.file}: {error}") from None
