"""docs/devices.md says what the code says, and every family says all of it."""

from importlib.metadata import entry_points

import pytest

from drivers import registry
from tests.docs import devices

OURS = sorted(entry.name for entry in entry_points(group="manovac.drivers") if entry.value.startswith("drivers."))


def test_the_page_is_what_the_code_makes() -> None:
    assert devices.PAGE.read_text(encoding="utf-8") == devices.page(), "run python -m tests.docs.devices"


@pytest.mark.parametrize("name", OURS)
def test_each_family_of_ours_has_a_twin_and_tells_of_itself(name: str) -> None:
    assert entry_points(group="manovac.twins", name=name)
    model = registry.model(name)
    assert model.protocol
    assert model.faults
    assert model.identity
    assert f"| `{name}` |" in devices.page()


def test_the_programs_read_twins_that_exist() -> None:
    assert set(devices._accepted()) <= set(OURS)
