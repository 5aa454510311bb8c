"""One payload of each kind that tells what was found, as the contract shows them."""

from typing import Final

from drivers.reading import Quality
from drivers.rig import HatchState
from gateway.alarms import Alarm, AlarmState, Condition, Priority
from gateway.leak.bodies import AirBody
from gateway.leak.event import Event
from gateway.leak.finding import BodyFinding, Kind, StationFinding
from gateway.leak.reserve import Reserve
from gateway.leak.segment_state import SegmentState
from gateway.mqtt import commands, finding_payloads

T_MS = 1_731_980_001_000


def utc_ms(time_s):
    return T_MS + round(time_s * 1000)


STATE: Final = SegmentState(
    segment="zvezda",
    time_s=0.0,
    pressure_pa=101325.0,
    u95_pa=8.1,
    temperature_k=295.2,
    white_pa=2.0,
    coarse_pa=0.0,
    fresh=True,
    used=("sm_p1", "sm_p2"),
    rejected={"sm_p3": "disagrees"},
    quality=Quality.GOOD,
    agreed=True,
    alone=False,
)
LEAK: Final = StationFinding(
    time_s=60.0,
    bodies=(
        BodyFinding(
            body=AirBody(segments=("prk",), volume_m3=6.0, volume_relative_sigma=0.1),
            kind=Kind.LEAK,
            slope_pa_per_s=0.15,
            ci95_pa_per_s=(0.14, 0.16),
            rate_kg_per_s=1e-5,
            rate_ci95_kg_per_s=(9e-6, 1.1e-5),
            since_s=30.0,
            reserve=Reserve(to_pa=66700.0, exponential_s=183840.0, linear_s=180000.0, fast_s=183300.0, slow_s=190000.0),
            notes=("noise is 1.3 times what was expected",),
        ),
    ),
    where={"prk": 1.0},
    next_hatch="prk--zvezda",
)
ALARM: Final = Alarm(
    condition=Condition(id="leak-prk", priority=Priority.CRITICAL, cause="leak", segment="prk", limit=0.2),
    state=AlarmState.UNACKNOWLEDGED,
    on_s=30.0,
    changed_s=60.0,
    value=1.13,
)
EXAMPLES: Final = {
    "state": finding_payloads.state(STATE, gateway="pi1", n=918275, t_ms=T_MS),
    "hatch": finding_payloads.hatch(passage="closed", source="command", quality="good", t_ms=T_MS),
    "leak": finding_payloads.leak(LEAK, utc_ms),
    "alarm": finding_payloads.alarm(ALARM, t_ms=T_MS + 60_000, utc_ms=utc_ms),
    "event": finding_payloads.event(
        "alarm",
        finding_payloads.alarm(ALARM, t_ms=T_MS + 60_000, utc_ms=utc_ms),
        gateway="pi1",
        n=918276,
        t_ms=T_MS + 60_000,
    ),
    "command-event": commands.event(command_id="c2", kind=Event.REPRESS, segment="zvezda", lasts_s=1200.0, mass_kg=5.0),
    "command-hatch": commands.hatch(command_id="c1", hatch_id="prk--zvezda", state=HatchState.CLOSED),
    "command-acknowledge": commands.acknowledge(command_id="c2", alarm_id="leak-prk"),
    "command-replay": commands.replay(command_id="c3", first=5, last=9),
    "ack": commands.acknowledged(918273),
    "response": commands.response(command_id="c1", t_ms=T_MS, problem="no such hatch"),
}
