"""Whom the link refuses to talk to, over real sockets, and what it says then; files of certificates that cannot be."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from drivers.rig_gateway import Mqtt
from gateway.mqtt.broker import MqttSettingsError, broker
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.tls import TlsContext
from tests.certificates import Authority


@pytest.fixture(scope="session")
def authority(require_program, tmp_path_factory):
    """Issued `broker` for 127.0.0.1, `elsewhere`, `expired` and the gateways `pi1` and `pi2`."""
    made = Authority(require_program("openssl"), tmp_path_factory.mktemp("authority"))
    made.issue("broker", host="127.0.0.1")
    made.issue("elsewhere", host="elsewhere.example")
    made.issue("expired", host="127.0.0.1", expired=True)
    made.issue("pi1")
    made.issue("pi2")
    return made


@pytest.fixture(scope="session")
def stranger(require_program, tmp_path_factory):
    """Another authority, with a certificate for 127.0.0.1 too."""
    made = Authority(require_program("openssl"), tmp_path_factory.mktemp("stranger"))
    made.issue("broker", host="127.0.0.1")
    made.issue("pi1")
    return made


class Listener:
    """A TLS port that lets anybody in, on a thread, as asyncio's own would keep its alert to itself.

    Attributes:
        handshakes: those that were completed.
        heard: what came after them.
    """

    def __init__(self, context):
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.handshakes = 0
        self.heard = b""
        self._ending = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            connection, _ = self._socket.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(2)
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    self.handshakes += 1
                    self.heard += secured.recv(100)
            if self._ending:
                return

    def close(self):
        self._ending = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._socket.close()


@contextlib.contextmanager
def listening(authority, certificate="broker", *, old=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.path(f"{certificate}.crt"), authority.path(f"{certificate}.key"))
    if old:
        make_old(context)
    listener = Listener(context)
    try:
        yield listener
    finally:
        listener.close()


def make_old(context):
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")


@pytest.mark.parametrize(
    ("certificate", "old", "says"),
    [
        (
            "elsewhere",
            False,
            "does not prove that it is 127.0.0.1: its certificate is for another name: put one of its",
        ),
        ("expired", False, "does not prove that it is 127.0.0.1: its certificate has expired (today is 20"),
        ("broker", True, "it speaks no TLS 1.2 or newer, and Manovac speaks nothing older"),
    ],
)
async def test_a_broker_that_is_not_to_be_trusted_gets_no_word_of_us(
    authority, start_link, until, caplog, certificate, old, says
):
    with listening(authority, certificate, old=old) as listener:
        link, _ = start_link(f"mqtts://127.0.0.1:{listener.port}", Outbox(), **authority.words())
        await until(lambda: says in caplog.text)
        assert not link.statistics().connected
        assert listener.heard == b""


async def test_a_broker_of_another_authority_gets_no_word_of_us(authority, stranger, start_link, until, caplog):
    with listening(stranger) as listener:
        start_link(f"mqtts://127.0.0.1:{listener.port}", Outbox(), **authority.words())
        await until(
            lambda: "its certificate is from no authority trusted here; mqtt.ca_file names those (" in caplog.text
        )
        start_link(f"mqtts://127.0.0.1:{listener.port}", Outbox())
        await until(lambda: caplog.text.count("cannot be reached") >= 2)
        assert listener.heard == b""


async def test_a_cluster_must_prove_the_name_of_each_address(make_mosquitto, authority, start_link, until, caplog):
    files = f"cafile {authority.path('ca.crt')}\ncertfile {authority.path('elsewhere.crt')}\n"
    stranger = make_mosquitto(f"{files}keyfile {authority.path('elsewhere.key')}", authority.folder)
    urls = [stranger.url.replace("mqtt:", "mqtts:"), "mqtts://127.0.0.1:1"]
    link, _ = start_link(urls[1], Outbox(), more_urls=[urls[0]], **authority.words())
    await until(lambda: caplog.text.count("its certificate is for another name") == 1)
    assert link.statistics().reconnects == 0
    assert not link.statistics().connected


async def test_the_same_listeners_let_in_whom_asks_for_less(authority, stranger, until):
    """Without this the tests above would pass with a listener that nobody can reach."""
    for of, certificate, old in (
        (authority, "elsewhere", False),
        (authority, "expired", False),
        (stranger, "broker", False),
        (authority, "broker", True),
    ):
        lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        lax.check_hostname = False
        lax.verify_mode = ssl.CERT_NONE
        if old:
            make_old(lax)
        with listening(of, certificate, old=old) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=lax)
            writer.close()
            await until(lambda: listener.handshakes == 1)


async def test_a_plain_port_is_told_from_a_tls_port(fake_broker, authority, start_link, until, caplog):
    start_link(fake_broker.url.replace("mqtt:", "mqtts:"), Outbox(), **authority.words())
    await until(lambda: "is this its plain port?" in caplog.text or "the broker closed" in caplog.text)
    assert fake_broker.sessions == []


def test_no_environment_makes_tls_weaker_or_writes_its_keys(authority, monkeypatch, tmp_path):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    tls = TlsContext(authority.path("ca.crt"), None, None)
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.keylog_filename is None
    assert not tls.verify_flags & ssl.VERIFY_X509_STRICT, "what is demanded of certificates is the same on every Python"


ANONYMOUS = """
import ssl, sys, types
if sys.argv[1] == "alone":
    stub = sys.modules["gateway.mqtt.credentials"] = types.ModuleType("credentials")
    stub.MqttSettingsError, stub.check_private = ValueError, None
from gateway.mqtt.tls import TlsContext
ours = TlsContext(sys.argv[2], None, None)
print(ours.security_level, ours.minimum_version.name, ours.verify_mode.name, ours.options & 0x40004)
theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
theirs.set_ciphers("aNULL:@SECLEVEL=0")
theirs.maximum_version = ssl.TLSVersion.TLSv1_2
out, back = ssl.MemoryBIO(), ssl.MemoryBIO()
client = ours.wrap_bio(back, out, server_hostname="station")
server = theirs.wrap_bio(out, back, server_side=True)
for side in (client, server, client, server, client):
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        pass
print("no certificate, and no objection")
"""


@pytest.mark.parametrize("python", [sys.executable, *map(str, Path("/usr/bin").glob("python3.1[1-9]"))])
def test_settings_of_openssl_let_no_broker_in_that_has_no_certificate(authority, tmp_path, python):
    (tmp_path / "openssl.cnf").write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCipherString = aNULL:ALL:@SECLEVEL=0\n"
        "MinProtocol = TLSv1\nVerifyMode = None\n"
        "Options = UnsafeLegacyRenegotiation,UnsafeLegacyServerConnect\n"
    )
    ended = subprocess.run(
        [python, "-c", ANONYMOUS, "here" if python == sys.executable else "alone", authority.path("ca.crt")],
        env={"OPENSSL_CONF": str(tmp_path / "openssl.cnf")},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "2 TLSv1_2 CERT_REQUIRED 0\n", ended.stderr
    assert "NO_SHARED_CIPHER" in ended.stderr


def of(authority, name="pi1", **words):
    return broker(Mqtt.model_validate({"url": "mqtts://station", **authority.words(name), **words}))


def test_a_certificate_and_its_key_make_the_gateway_known(authority):
    assert of(authority).tls is not None
    assert of(authority).tls.presents_certificate


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"client_key": "{folder}/pi2.key"}, r"client_key: .*pi2\.key is not the key of .*pi1\.crt"),
        ({"client_key": "{folder}/nowhere"}, r"client_key: cannot read .*nowhere: No such file"),
        ({"client_cert": "{folder}/nowhere"}, r"client_cert: cannot read .*nowhere: No such file"),
        ({"client_cert": "{folder}/pi1.key"}, r"client_cert: .* are not a certificate and its key in PEM"),
        ({"client_key": "{folder}"}, r"client_key: .* is not a file"),
        ({"client_key": None}, "client_cert: needs client_key"),
        ({"client_cert": None}, "client_key: needs client_cert"),
        ({"url": "mqtt://station"}, "ca_file: means nothing without TLS"),
        ({"url": "mqtt://station", "ca_file": None}, "client_cert: means nothing without TLS"),
    ],
)
def test_files_that_cannot_be_used_are_named(authority, words, says):
    filled = {key: value and value.replace("{folder}", str(authority.folder)) for key, value in words.items()}
    with pytest.raises(MqttSettingsError, match=says):
        of(authority, **filled)


def test_a_key_with_a_passphrase_is_refused_at_once_instead_of_asking_a_terminal(authority, tmp_path, require_program):
    locked = tmp_path / "locked.key"
    command = [
        require_program("openssl"),
        "pkey",
        "-in",
        authority.path("pi1.key"),
        "-aes128",
        "-passout",
        "pass:planted",
    ]
    subprocess.run([*command, "-out", locked], check=True, capture_output=True)
    locked.chmod(0o600)
    with pytest.raises(MqttSettingsError, match=r"locked\.key has a passphrase"):
        of(authority, client_key=str(locked))


async def test_a_link_with_certificates_delivers_to_a_broker_that_proves_itself(
    authority, make_mosquitto, start_link, until
):
    files = f"cafile {authority.path('ca.crt')}\ncertfile {authority.path('broker.crt')}\n"
    mosquitto = make_mosquitto(f"{files}keyfile {authority.path('broker.key')}", authority.folder)
    outbox = Outbox()
    outbox.put(Message(topic="manovac/v1/iss/seg/prk/batch", payload=b"1"))
    link, _ = start_link(mosquitto.url.replace("mqtt:", "mqtts:"), outbox, **authority.words())
    await until(lambda: link.statistics().acknowledged == 1)
