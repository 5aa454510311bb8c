"""Promise 2 at a cluster: one of three NATS servers is killed under load, and the consumer misses nothing.

`python -m tests.benchmarks.nats_cluster` kills one every 10 s for three minutes.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nats_cluster import Station, cluster

WITHIN_S = 120  # a cluster that has lost a server can take half a minute, and a machine may be busy


@pytest.mark.timeout(400)
def test_a_server_that_is_killed_loses_nothing(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    require_program("nats-server")
    require_program("openssl")
    with cluster(tmp_path, units=2, values=2, batch="0.2 s", poll="0.5 s") as servers:
        station = Station(servers, tmp_path)
        try:
            station.wait_stored(10, within_s=WITHIN_S)
            servers.kill(servers.hosts[0])  # the gateway's
            station.wait_connections(2, within_s=WITHIN_S)
            servers.start(servers.hosts[0])
            station.wait_complete(beyond=station.stored + 10, within_s=WITHIN_S)
            given = station.end_gateway()
            station.wait_stored(given, within_s=WITHIN_S)
            verdict = station.verdict(given)
        finally:
            station.close()
    assert verdict.nothing_lost, verdict
    assert ", 0 gaps" in verdict.text
