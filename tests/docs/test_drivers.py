"""docs/drivers.md shows a transducer that a rig file can have."""

import re
from pathlib import Path

from drivers.rig_source import check_rig

TEXT = (Path(__file__).parents[2] / "docs" / "drivers.md").read_text(encoding="utf-8")
HEAD = """
[station]
id = "s"
gateway = "g"
[segment.tank]
volume = "1 m3"
[segment.lock]
volume = "1 m3"
[bus.rs485]
kind = "serial"
port = "/dev/ttyUSB0"
"""


def test_its_modbus_map_passes_the_check() -> None:
    (example, more, _) = re.findall(r"^```toml\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    checked = check_rig(HEAD + example + more, "docs/drivers.md")
    assert checked.rig is not None
    assert not checked.problems
