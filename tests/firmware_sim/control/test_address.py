from pathlib import Path

import pytest

from firmware_sim.control import ControlError
from firmware_sim.control.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5020", Address(port=5020)),
        ("localhost:5020", Address(port=5020)),
        ("127.0.0.1:0", Address(port=0)),
        ("/run/bench.sock", Address(path=Path("/run/bench.sock"))),
        ("bench", Address(path=Path("bench"))),
        ("./odd:1/x:5", Address(path=Path("odd:1/x:5"))),
    ],
)
def test_addresses(text, expected):
    address = parse_address(text)
    assert address == expected
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("0.0.0.0:5020", "listens on this machine only, for it has no password: write 127.0.0.1:5020 or"),
        ("bench.local:5020", "this machine only"),
        ("*:5020", "this machine only"),
        (":5020", "this machine only"),
        ("[::1]:5020", "this machine only"),
        ("127.0.0.1:70000", "a port is a number up to 65535"),
        ("", "is no address"),
        ("/" + 110 * "x", "is no address: write the path of a socket, up to 107 bytes"),
        ("a\0b", "is no address"),
    ],
)
def test_whatever_is_not_of_this_machine_is_refused(text, complaint):
    with pytest.raises(ControlError, match=complaint):
        parse_address(text)
