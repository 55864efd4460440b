"""The audit verified and the keys replaced from the command line, on a real database."""

from __future__ import annotations

from pathlib import Path

from tests.commands.program import throughline


def test_the_audit_is_verified_and_administrative_acts_are_in_it(state: Path) -> None:
    added = throughline(state, "client", "add", "--name", "river-clinic", "--organization", "river")
    assert added.returncode == 0, added.stderr
    assert throughline(state, "token", "--client", "river-clinic").returncode == 0
    kid = throughline(state, "keys", "rotate")
    assert kid.returncode == 0, kid.stderr
    first = throughline(state, "audit", "verify")
    assert first.returncode == 0, first.stderr
    assert "3 rows verified" in first.stderr
    (head,) = first.stdout.split()
    assert throughline(state, "client", "revoke", "--name", "river-clinic").returncode == 0
    again = throughline(state, "audit", "verify", "--noted", head)
    assert again.returncode == 0, again.stderr
    forged = head[:-64] + "0" * 64
    broken = throughline(state, "audit", "verify", "--noted", forged)
    assert broken.returncode == 1
    assert "broken at lane 1, row 3" in broken.stderr
    assert throughline(state, "audit", "verify", "--noted", "rubbish").returncode == 1
