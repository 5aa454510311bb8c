"""What `manovac run` loads: modules are nearly all of its memory, so none that this run does not need."""

import signal
import subprocess

from gateway.unit_file import ENVIRONMENT
from tests.commands import ended_by, started

RIG = """
[station]
id = "lean"
gateway = "g1"
[mqtt]
url = "{url}"
[segment.cabin]
[bus.b1]
kind = "modbus-tcp"
port = "127.0.0.1:1"
[transducer.p1]
model = "modbus-map"
bus = "b1"
segment = "cabin"
map.pressure = {{ address = 0, unit = "Pa" }}
calibration = {{ polynomial = [12.0, 1.0] }}
"""
TELL = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
FOR_OTHER_RUNS = {
    *("serial", "serial_asyncio_fast"),  # of a serial bus
    *("aiohttp", "prometheus_client"),  # of [http]
    *("drivers.trace", "drivers.transport.tap"),  # of --record
}
FOR_OTHER_COMMANDS = {
    "drivers.scan",
    "drivers.rig_schema",
    "gateway.analysis",
    "gateway.report",
    "gateway.once",
    "pyarrow",
    "rich",
}
FOR_NOBODY = {
    *("firmware_sim", "hil", "multiprocessing", "pydantic.v1", "pymodbus.client", "pymodbus.server", "unittest"),
    *("numpy.f2py", "numpy.fft", "numpy.ma", "numpy.polynomial", "numpy.random", "numpy.testing"),
}


def test_a_run_loads_only_what_it_needs(tmp_path, mosquitto, require_program, monkeypatch):
    """Started as the service is."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    rig = tmp_path / "rig.toml"
    rig.write_text(RIG.format(url=mosquitto.url))
    with started(tmp_path, "run", rig, "--emulated", first=TELL) as gateway:
        topic = "manovac/v1/lean/seg/cabin/state"  # the last that a reading brings about
        at = ["-p", mosquitto.url.rpartition(":")[2], "-t", topic, "-C", "1", "-W", "20"]
        subprocess.run([require_program("mosquitto_sub"), *at], check=True, stdout=subprocess.DEVNULL)
        loaded = set(ended_by(gateway, signal.SIGINT).err.splitlines()[-1].split())
    assert {"drivers.models.modbus_map", "gateway.mqtt.link", "numpy"} <= loaded
    assert loaded & (FOR_OTHER_RUNS | FOR_OTHER_COMMANDS | FOR_NOBODY) == set()
    assert {name for name in loaded if name.startswith("drivers.models.")} == {
        "drivers.models.answers",
        "drivers.models.modbus_map",
        "drivers.models.register_reads",
    }
