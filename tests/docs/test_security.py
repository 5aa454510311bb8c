"""docs/security.md names tests and limits that there are, and its commands make certificates that work."""

import re
import ssl
import subprocess
from pathlib import Path

from drivers.rig_limits import DEEPEST, LARGEST_FILE
from drivers.rig_source import check_rig
from firmware_sim.control.server import CLIENTS, EVENTS_KEPT, LINE_LIMIT
from gateway.desk import BURST, RATE_PER_S, REMEMBERED, RUNNING
from gateway.display.server import CONNECTIONS, LARGEST_BODY, LIFE_S, LONGEST_LINE, REQUESTS_PER_S
from gateway.mqtt.access import LARGEST_MESSAGE
from gateway.mqtt.commands import LONGEST
from gateway.mqtt.tls import TlsContext

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    return str(text)


def test_every_test_that_it_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", TEXT)
    assert len(named) > 30
    for file, test in named:
        assert re.search(
            rf"^(async )?def {test}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE
        ), test


def test_every_requirement_has_a_test_or_says_why_not() -> None:
    rows = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if re.match(r"\| (CR )?\d\.", line)]
    assert len(rows) > 30
    for number, _, how, *test in rows:
        assert test or re.search(r"\bnot\b|does not apply|rig file is all", how), number


def test_its_limits_are_those_of_the_code() -> None:
    assert f"{LARGEST_FILE >> 20} MiB, {DEEPEST} tables" in TEXT
    assert f"{LINE_LIMIT >> 10} KiB a line, {CLIENTS} clients, {EVENTS_KEPT} events" in TEXT
    assert f"or {LARGEST_MESSAGE >> 10} KiB" in TEXT
    lines = f"{LONGEST_LINE >> 10} KiB a line, {LARGEST_BODY >> 10} KiB a body"
    assert f"{lines}, {CONNECTIONS} connections of {LIFE_S:g} s each, {REQUESTS_PER_S} requests a second" in TEXT
    rates = (
        f"{BURST} at once, {RATE_PER_S:g} a second for long, {RUNNING} being obeyed; {REMEMBERED} answers remembered"
    )
    assert f"{LONGEST >> 10} KiB; {rates}" in TEXT


def test_its_words_of_mqtt_pass_the_check() -> None:
    text = '[station]\nid = "s"\ngateway = "g"\n' + block("toml")
    assert check_rig(text, "docs/security.md").problems == ()


def test_the_certificates_that_the_page_makes_are_taken_by_both_sides(tmp_path, require_program) -> None:
    require_program("openssl")
    ran = subprocess.run(["sh", "-euc", block("sh")], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    broker = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    broker.load_cert_chain(tmp_path / "broker.crt", tmp_path / "broker.key")
    broker.load_verify_locations(tmp_path / "ca.crt")
    broker.verify_mode = ssl.CERT_REQUIRED
    broker.verify_flags |= ssl.VERIFY_X509_STRICT
    for host in ("broker.example", "192.0.2.7"):
        gateway = TlsContext(str(tmp_path / "ca.crt"), str(tmp_path / "pi1.crt"), str(tmp_path / "pi1.key"))
        gateway.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer Pythons do by themselves
        assert shaken_hands(gateway, broker, host) == "pi1"


def shaken_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> str:
    """Connect two contexts without a socket; return the client's common name as the server sees it."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(down, up, server_hostname=host)
    theirs = server.wrap_bio(up, down, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = theirs.getpeercert() or {}
    ((_, name),) = certificate["subject"][0]
    return str(name)
