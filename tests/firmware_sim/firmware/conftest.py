import pytest

from drivers.rig import Bus, BusKind, Transducer


class FixedSensor:
    """Feels what the test says."""

    def __init__(self, pressure_pa=101_325.0, temperature_k=295.65):
        self.pressure_pa = pressure_pa
        self.temperature_k = temperature_k
        self.reads = 0

    def read(self, at_ns):
        self.reads += 1
        return self.pressure_pa, self.temperature_k


@pytest.fixture
def sensor():
    return FixedSensor()


@pytest.fixture
def words():
    def make(model, **more):
        return Transducer.model_validate({"model": model, "bus": "b", "segment": "s", **more})

    return make


@pytest.fixture
def make(sensor, words):
    """Make a twin of one transducer `p1` that feels `sensor`."""

    def build(family, model, *, unit=1, bus=None, **more):
        return family(
            unit=unit,
            bus=bus or Bus(kind=BusKind.SERIAL, port="x", baud=9600),
            transducers={"p1": words(model, unit=unit, **more)},
            sensors={"p1": sensor},
        )

    return build


@pytest.fixture
def ask():
    """Say something to a twin and get everything it sends, in one piece."""

    def say(twin, data, at_ns=0):
        return b"".join(reply.data for reply in twin.hear(at_ns, data))

    return say
