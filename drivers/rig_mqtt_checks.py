"""How the words of `[mqtt]` must fit each other, and whether a password in them is safe where it stands."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from drivers.rig_draft import Draft
from drivers.rig_gateway import Mqtt, Secret
from drivers.rig_problems import Findings
from drivers.toml_places import Path

_TLS_WORDS: Final = ("ca_file", "client_cert", "client_key")
_PASSWORD: Final[Path] = ("mqtt", "password")
_ELSEWHERE: Final = 'password = { env = "MANOVAC_MQTT_PASSWORD" }, { file = "..." } or { credential = "..." }'


class Contradiction(NamedTuple):
    """A word that does not fit: its key, what is wrong, what to do."""

    key: str
    message: str
    advice: str


def check_mqtt(draft: Draft, findings: Findings, *, private: bool, file: str, exists: Callable[[str], bool]) -> None:
    """Report what does not fit, and a password that others can read, or that stands nowhere or in two places."""
    if draft.mqtt is None:
        return
    mqtt = draft.mqtt.words
    wrong = [] if draft.mqtt.unclear else list(contradictions(mqtt))
    for key, message, advice in wrong:
        findings.error(("mqtt", key), f"{key}: {message}", advice)
    if not wrong:
        _check_files(mqtt, findings, exists)
    password = mqtt.password
    if password is None or not draft.mqtt.clear("password"):
        return
    if isinstance(password, Secret):
        if [password.env, password.file, password.credential].count(None) != 2:
            findings.error(_PASSWORD, "password: give either env, file or credential", _ELSEWHERE)
    elif not private:
        findings.error(
            _PASSWORD,
            "a literal password in a file that others can read",
            f"chmod 600 {file}; better: {_ELSEWHERE}",
            at="key",
        )
    plain = mqtt.url.startswith("mqtt://")
    if not (wrong or draft.mqtt.unclear) and plain and not all(is_loopback(url) for url in mqtt.urls):
        findings.warning(
            ("mqtt", "url"),
            "the password crosses the network in clear",
            "use mqtts:// and ca_file; `manovac broker-config` writes what a mosquitto needs for it",
        )


def _check_files(mqtt: Mqtt, findings: Findings, exists: Callable[[str], bool]) -> None:
    """Warn of files that are not there; systemd puts those below /run/credentials there when the service begins."""
    for key in _TLS_WORDS:
        path = getattr(mqtt, key)
        if path is not None and not path.startswith("/run/credentials/") and not exists(path):
            findings.warning(
                ("mqtt", key),
                f"{key}: no such file on this machine, or not for this user to see",
                "fine where this rig file is for another one",
            )


def contradictions(mqtt: Mqtt) -> Iterator[Contradiction]:
    """Find what cannot be meant; no message holds what could be a secret."""
    tls = mqtt.url.startswith("mqtts://")
    for key in _TLS_WORDS:
        if _no_path(getattr(mqtt, key) or ""):
            yield Contradiction(key, "is a path, not what stands in the file", "write where the PEM file is")
    for number, url in enumerate(mqtt.urls):
        key = "more_urls" if number else "url"
        yield from _misspelt(key, url)
        if url.startswith("mqtts://") != tls:
            yield Contradiction(key, "mixes mqtt:// and mqtts://", "it is one broker: write all its urls with mqtts://")
    if not tls:
        for key in _TLS_WORDS:
            if getattr(mqtt, key) is not None:
                yield Contradiction(key, "means nothing without TLS", "use a mqtts:// url")
    elif (mqtt.client_cert is None) != (mqtt.client_key is None):
        there, missing = ("client_cert", "client_key") if mqtt.client_key is None else ("client_key", "client_cert")
        yield Contradiction(there, f"needs {missing}", "a certificate and its key go together")


def _no_path(text: str) -> bool:
    return not text.isprintable() or text.startswith("-----BEGIN")


def _misspelt(key: str, text: str) -> Iterator[Contradiction]:
    form = f'write "{text.partition(":")[0]}://host:port", nothing behind it'
    try:
        url = urlsplit(text)
    except ValueError:  # as for "mqtt://[::1"
        yield Contradiction(key, "is not a url", form)
        return
    if not text.isprintable():  # `urlsplit` leaves ends of lines out
        yield Contradiction(key, "is not a url", form)
        return
    if "@" in text:
        yield Contradiction(key, "no user in it", "use mqtt.username and mqtt.password")
    elif not _has_port(url):
        yield Contradiction(key, "its port must be a number from 1 to 65535", form)
    elif not url.hostname or url.path.strip("/") or url.query or url.fragment:
        yield Contradiction(key, "needs a host and nothing else", form)
    elif not _nameable(url.hostname):
        yield Contradiction(key, "cannot be the name of a host", form)


def is_loopback(url: str) -> bool:
    """Say whether a broker's url leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _has_port(url: SplitResult) -> bool:
    try:
        return url.port != 0
    except ValueError:
        return False


def _nameable(host: str) -> bool:
    """Say whether that is a name of DNS or an address, which can stand in any file of settings."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return re.fullmatch(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?", host, re.ASCII) is not None
    return re.fullmatch(r"[0-9A-Fa-f:.]+(%[\w.-]+)?", host, re.ASCII) is not None
