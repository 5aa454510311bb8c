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
COMMANDS: Final = {
    commands.Hatch: {"hatch": "prk--zvezda", "state": HatchState.CLOSED},
    commands.Happening: {"kind": Event.DOCKING, "segment": "zvezda", "lasts_s": 1200.0},
    commands.Acknowledge: {"alarm": "leak-prk"},
    commands.Shelve: {"alarm": "leak-prk", "lasts_s": 600.0},
    commands.Replay: {"first": 5, "last": 9},
    commands.Rate: {"transducer": "sm_p1", "poll_s": 0.5},
    commands.Pause: {"bus": "aft"},
    commands.Resume: {"transducer": "sm_p1"},
    commands.Rescan: {"transducer": "sm_p1"},
    commands.Zero: {"transducer": "sm_p1", "at_pa": 0.0},
    commands.Calibrate: {"transducer": "sm_p1", "offset_pa": -12.5, "gain": 1.0002},
    commands.Write: {"transducer": "sm_p1", "setting": "damping", "value": 3},
    commands.Reload: {},
}
VERDICT: Final = commands.Verdict(
    id="c1", name="hatch", by="anna", code=commands.Code.NOT_FOUND, text="no hatch 'prk--mir' in the rig"
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
        boot="3f9c",
        n=918276,
        t_ms=T_MS + 60_000,
    ),
    **{
        f"command-{kind.topic}": commands.build(kind, id="c1", not_after=T_MS + 30_000, by="anna", **words)
        for kind, words in COMMANDS.items()
    },
    "ack": commands.acknowledged(918273),
    "response": commands.answer(VERDICT.words(), gateway="pi1", boot="3f9c", n=918277, t_ms=T_MS),
}
