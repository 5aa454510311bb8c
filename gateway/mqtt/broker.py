"""From the rig file's `[mqtt]` to what a connection needs: address, credentials, TLS. Touches no wire."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from drivers.rig_gateway import Mqtt, Secret
from drivers.rig_mqtt_checks import contradictions
from gateway.mqtt.credentials import MqttSettingsError, secret
from gateway.mqtt.tls import TlsContext, explained


@dataclass(slots=True, kw_only=True)
class Broker:
    """Where the broker is and as whom to go there; `tls` is None for a plain connection.

    `host` and `port` are the address whose turn it is: a cluster has several, and must prove the name of each.
    """

    addresses: tuple[tuple[str, int], ...]
    username: str | None
    password: str | None = field(repr=False)
    tls: TlsContext | None

    @property
    def host(self) -> str:
        """A name or an IP address."""
        return self.addresses[0][0]

    @property
    def port(self) -> int:
        """TCP."""
        return self.addresses[0][1]

    def turn(self) -> None:
        """Go on to the next address; after the last comes the first."""
        self.addresses = (*self.addresses[1:], self.addresses[0])

    @property
    def name(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    def explained(self, error: Exception) -> str:
        """Say why a connection failed, for people; the library's error hides the system's, in which it was raised."""
        cause = error.__context__
        why = explained(cause, self.host, presents=self._presents) if isinstance(cause, OSError) else ""
        return f"cannot be reached: {why}" if why else str(error)

    def is_absent(self, error: Exception) -> bool:
        """Say whether nobody was there, as while a broker restarts, rather than somebody who refused."""
        return isinstance(error.__context__, OSError) and not isinstance(error.__context__, ssl.SSLError)

    def take_alert(self) -> str:
        """Say once by what TLS ended the last connection after its handshake, for people; empty when it did not."""
        if self.tls is None or self.tls.alert is None:
            return ""
        alert, self.tls.alert = self.tls.alert, None
        return explained(alert, self.host, presents=self._presents)

    @property
    def _presents(self) -> bool:
        return self.tls is not None and self.tls.presents_certificate


def broker(mqtt: Mqtt) -> Broker:
    """Read url, secrets and certificates.

    Raises:
        MqttSettingsError: something is missing, unreadable, contradictory, or a secret that others can read.
    """
    for key, message, advice in contradictions(mqtt):
        raise MqttSettingsError(f"mqtt.{key}: {message}; {advice}")
    urls = [urlsplit(url) for url in mqtt.urls]
    tls = TlsContext(mqtt.ca_file, mqtt.client_cert, mqtt.client_key) if urls[0].scheme == "mqtts" else None
    password = mqtt.password
    if isinstance(password, Secret):
        literal: str | None = secret(password, "mqtt.password")
    else:
        literal = None if password is None else password.get_secret_value()
    return Broker(
        addresses=tuple((url.hostname or "", url.port or (8883 if tls else 1883)) for url in urls),
        username=mqtt.username,
        password=literal,
        tls=tls,
    )


__all__ = ["Broker", "MqttSettingsError", "broker"]
