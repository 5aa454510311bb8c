"""Where a gateway that runs can be reached: nowhere, unless it was asked for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.test_run_against_mosquitto import wait_for

RIG = """
[station]
id = "s"
gateway = "g"
[segment.a]
[bus.tcp]
kind = "rtu-over-tcp"
port = "127.0.0.1:1"
[bus.udp]
kind = "line-over-udp"
port = "127.0.0.1:2"
[transducer.p1]
model = "keller-33x"
bus = "tcp"
segment = "a"
[transducer.p2]
model = "adam-6017"
bus = "udp"
channel = 1
segment = "a"
range = "0..160 kPa"
[mqtt]
url = "mqtt://127.0.0.1:1"
[journal]
keep = "memory"
"""
LISTENS, BOUND = "0A", "07"  # states of TCP and of UDP in /proc/net
NOWHERE = re.compile("0*:0000")


def reachable(pid: int) -> set[str]:
    """Return the sockets of a process that anybody may talk to: protocol and local address, as in /proc/net."""
    links = [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    own = {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", str(link)))}
    found = set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            _, local, remote, state, *_, inode = row.split()[:10]
            anybody = state == (LISTENS if kind.startswith("tcp") else BOUND) and NOWHERE.fullmatch(remote)
            if inode in own and anybody:
                found.add(f"{kind} {local}")
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("http", [False, True])
def test_no_port_is_open_that_was_not_asked_for_and_those_are_this_machines(tmp_path: Path, http: bool) -> None:
    rig, log = tmp_path / "rig.toml", tmp_path / "log"
    rig.write_text(RIG + "[http]\nport = 0\n" * http)
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", str(rig)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait_for(lambda: "bus tcp is down" in log.read_text() and "next try in" in log.read_text())
            found = reachable(process.pid)
        finally:
            process.terminate()
    assert len(found) == http, log.read_text()
    assert all(each.startswith("tcp 0100007F:") for each in found)
