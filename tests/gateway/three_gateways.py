"""The rig files of three gateways, of which two share a station, and who else there is at their broker."""

from pathlib import Path

RIG = """
[station]
id = "{station}"
gateway = "{gateway}"
[segment.{segment}]
volume = "8 m3"
[bus.b]
kind = "serial"
port = "/dev/ttyUSB0"
[transducer.p1]
model = "keller-33x"
bus = "b"
segment = "{segment}"
[commands.bob]
allow = {bob}
[mqtt]
url = "mqtts://127.0.0.1:{port}"
ca_file = "{folder}/ca.crt"
client_cert = "{folder}/{gateway}.crt"
client_key = "{folder}/{gateway}.key"
"""
GATEWAYS = {"pi1": ("iss", "prk"), "pi2": ("iss", "node1"), "pi3": ("moon", "base")}
BOB = {"pi1": '["*"]', "pi2": '["write"]', "pi3": "[]"}
"""What one operator may command; nothing is said of the other one."""
USERS = (*GATEWAYS, "eyes", "store", "anna", "bob")
OPTIONS = ("--viewer", "eyes", "--consumer", "store", "--operator", "anna", "--operator", "bob")


def rig_files(folder: Path, *, port: int, certificates: Path) -> list[Path]:
    """Write them."""
    paths = []
    for gateway, (station, segment) in GATEWAYS.items():
        words = {"station": station, "segment": segment, "port": port, "folder": certificates, "bob": BOB[gateway]}
        paths.append(folder / f"{gateway}.toml")
        paths[-1].write_text(RIG.format(gateway=gateway, **words), encoding="utf-8")
    return paths
