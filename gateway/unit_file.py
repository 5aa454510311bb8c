"""The systemd unit of a gateway, pure: what it may reach is what its rig file names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from drivers.rig import BusKind, Rig
from drivers.rig_gateway import Secret

NAME: Final = "manovac.service"
ENVIRONMENT: Final = {"PYTHONOPTIMIZE": "2", "PYTHONNODEBUGRANGES": "1", "MALLOC_ARENA_MAX": "1"}
"""What the service starts with: no docstrings, assertions, columns of tracebacks, nor a heap for each thread; 4 MB."""
_SECRETS: Final = "/etc/manovac"
_CREDENTIALS: Final = re.compile(rf"/run/credentials/{re.escape(NAME)}/([A-Za-z0-9_.-]+)")
_CLASSES: Final = {"ttyUSB": "usbserial", "ttyACM": "cdc_acm", "ttyAMA": None, "ttyS": None}
"""Classes of serial ports, with the module that has to be there before systemd can open one for a service."""
_ALWAYS: Final = """\
# A bus that stands still for good, or an event loop that does, gets no sign of life; after this time all is begun anew.
WatchdogSec=30
Restart=on-failure
RestartSec=2
# 2: the rig file is wrong, and trying again does not mend it
RestartPreventExitStatus=2
TimeoutStopSec=15
StateDirectory=manovac
UMask=0077

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
PrivateTmp=yes
ProtectProc=invisible
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
KeyringMode=private
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
# Not ProtectClock: the gateway asks the kernel whether its clock is synchronised; to set it takes a capability.
SystemCallFilter=@system-service adjtimex clock_adjtime
SystemCallErrorNumber=EPERM"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Who runs what.

    Attributes:
        program: the command `manovac`, absolute.
        rig_file: absolute.
        user: None for one that systemd makes for it.
    """

    program: str
    rig_file: str
    user: str | None = None

    @property
    def at_home(self) -> bool:
        """Whether program or rig file stand where services have no business."""
        return any(path.startswith(("/home/", "/root/")) for path in (self.program, self.rig_file))

    @property
    def in_tmp(self) -> bool:
        """Whether program or rig file stand where the service sees a folder of its own instead."""
        return any(path.startswith(("/tmp/", "/var/tmp/")) for path in (self.program, self.rig_file))  # noqa: S108


def unit_file(rig: Rig, service: Service) -> str:
    """Return the unit's text.

    Raises:
        ValueError: a path cannot stand in a unit.
    """
    program, rig_file = _quoted(service.program), _quoted(service.rig_file)
    classes = _classes(rig)
    modules = "".join(f" modprobe@{_CLASSES[each]}.service" for each in classes if _CLASSES[each])
    lines = [
        f"# Written by `manovac service {service.rig_file}`; its place is /etc/systemd/system/{NAME}",
        "[Unit]",
        f"Description=Manovac, gateway {rig.station.gateway} of station {rig.station.id}",
        *(f"{word}=network-online.target{modules}" for word in ("Wants", "After")),
        "# However often it fails, it is started again.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={program} run {rig_file}",
        *(f"Environment={name}={value}" for name, value in ENVIRONMENT.items()),
        _ALWAYS,
        f"ProtectHome={'read-only' if service.at_home else 'yes'}",
        *([f"User={service.user}"] if service.user else ["DynamicUser=yes"]),
        *_devices(classes),
        *_secrets(rig),
        *_writable(rig),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _quoted(path: str) -> str:
    if not path.isprintable() or any(letter in path for letter in "\"'\\"):
        raise ValueError(f"{path!r} cannot stand in a unit: choose a plain path")
    text = path.replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if " " in text else text


def _classes(rig: Rig) -> list[str]:
    """Return the classes of serial ports that the rig names; all for a port of another name."""
    ports = [PurePosixPath(bus.port).name for bus in rig.buses.values() if bus.kind is BusKind.SERIAL]
    named = [{each for each in _CLASSES if re.fullmatch(rf"{each}\d+", port)} or set(_CLASSES) for port in ports]
    return [each for each in _CLASSES if any(each in classes for classes in named)]


def _devices(classes: list[str]) -> Iterator[str]:
    """Open whole classes: an adapter may come and go, and its number change."""
    if not classes:
        yield "PrivateDevices=yes"
        return
    yield "DevicePolicy=closed"
    for each in classes:
        yield f"DeviceAllow=char-{each} rw"
    yield "SupplementaryGroups=dialout"


def _secrets(rig: Rig) -> Iterator[str]:
    """Hand over the secrets that the rig file takes from systemd."""
    mqtt = rig.mqtt
    secrets = [each for each in (mqtt.password, rig.http.token) if isinstance(each, Secret)]
    names = [each.credential for each in secrets if each.credential]
    for path in (mqtt.ca_file, mqtt.client_cert, mqtt.client_key):
        match = _CREDENTIALS.fullmatch(path or "")
        names += [match[1]] if match else []
    for name in dict.fromkeys(names):
        yield f"LoadCredential={name}:{_SECRETS}/{name}"


def _writable(rig: Rig) -> Iterator[str]:
    """Let it write to its journal where that is not in the service's own folder."""
    if rig.journal.keep != "memory" and rig.journal.path is not None:
        yield f"ReadWritePaths={_quoted(str(PurePosixPath(rig.journal.path).parent))}"
