"""The golden byte vectors of the families that drivers speak; one of a new family fails until it is listed here."""

import json
from dataclasses import dataclass
from pathlib import Path

OURS = {
    "ADAM ASCII",
    "Pfeiffer TPG 26x",
    "Pfeiffer telegram",
    "MKS 900",
    "Honeywell HPB/PPT",
    "Alicat",
    "KELLER bus",
    "KELLER Modbus",
    "any Modbus",
    "Waveshare 8CH",
    "QDW90A class",
    "QDW90A class, float variant",
    "Vaisala PTB330",
    "Paroscientific",
    "Druck TERPS",
    "Mensor/WIKA",
}
NOT_YET = {
    "KJLC/Granville-Phillips",
}


@dataclass(frozen=True, kw_only=True)
class Vector:
    device: str
    data: bytes
    number: tuple[int, float] | None


def _load() -> dict[str, Vector]:
    path = Path(__file__).parents[2] / "golden" / "vectors.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {
        row["id"]: Vector(
            device=row["device"],
            data=bytes.fromhex(row["hex"]) if "hex" in row else row["text"].encode("ascii"),
            number=tuple(row["f32"]) if "f32" in row else None,
        )
        for row in rows
    }


ALL = _load()
MINE = {name: vector for name, vector in ALL.items() if vector.device in OURS}
