"""The end of a real service: what is being asked gets its answer, what comes later is refused, exit code 0."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.commands.program import serving, throughline


def _refused(port: int, seconds: float = 10.0) -> bool:
    """Whether the port stops taking connections in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_write_in_flight_is_answered_and_kept_while_new_connections_are_refused(
    state: Path, workers: str, number: signal.Signals
) -> None:
    with serving(state, "serve", TL_WORKERS=workers) as served:
        added = throughline(
            state, "client", "add", "--name", "river-clinic", "--organization", "river-clinic"
        )
        assert added.returncode == 0, added.stderr
        token = throughline(state, "token", "--client", "river-clinic").stdout.strip()
        port = int(served.settings["TL_PORT"])
        body = json.dumps({"resourceType": "Patient", "name": [{"family": "Sample"}]}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.putrequest("POST", "/fhir/Patient")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Type", "application/fhir+json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body[:10])
        time.sleep(0.5)  # until it has been read

        served.process.send_signal(number)
        assert _refused(port)
        assert served.process.poll() is None, "it waits for what is being asked"
        connection.send(body[10:])
        answer = connection.getresponse()
        made = json.loads(answer.read())
        assert answer.status == 201, made
        connection.close()
        assert served.process.wait(60) == 0
    with serving(state, "serve") as served:
        connection = http.client.HTTPConnection("127.0.0.1", int(served.settings["TL_PORT"]))
        token = throughline(state, "token", "--client", "river-clinic").stdout.strip()
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("GET", f"/fhir/Patient/{made['id']}", headers=headers)
        assert connection.getresponse().status == 200
        connection.close()
        assert served.end(signal.SIGTERM) == 0
