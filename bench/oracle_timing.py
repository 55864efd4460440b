"""Does the time of an answer tell a hidden resource from one that never was?

    python -m bench.oracle_timing [--requests 20000] [--beat 10]

A service of its own, over real HTTP. One agency writes records; another, to which no consent opens anything,
asks for ids of them and for ids that nobody has, in turns and in random order: a read by id, and a search by
patient. The two kinds of time are compared by the Mann-Whitney U test (two-sided; normal approximation with
correction for ties and continuity), and by how often a hidden one takes longer than a missing one: one half
is a coin toss.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from tests.commands.program import Served, serving, throughline

RECORDS: Final = 300
"""Hidden records, and ids that nobody has, to be asked for in turns."""

ALPHA: Final = 0.01
_TRANSACTION: Final = 50
_RENEWED_SECONDS: Final = 300
_KINDS: Final = ("read", "search")


@dataclass(frozen=True, slots=True)
class Compared:
    """Two samples. u: pairs in which the first is larger, ties half. p: two-sided. larger: u over all pairs."""

    u: float
    p: float
    larger: float


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> Compared:
    """The Mann-Whitney U test of two samples of at least one value each.

    Normal approximation, variance corrected for ties, continuity corrected; p is 1 where all values are one.
    """
    n, m = len(first), len(second)
    if not n or not m:
        raise ValueError("both samples need values")
    values = Counter(first) + Counter(second)
    ranks: dict[float, float] = {}
    below = 0
    for value in sorted(values):
        ranks[value] = below + (values[value] + 1) / 2
        below += values[value]
    u = sum(ranks[value] for value in first) - n * (n + 1) / 2
    total = n + m
    ties = sum(count**3 - count for count in values.values()) / (total * (total - 1))
    spread = math.sqrt(n * m / 12 * (total + 1 - ties))
    distance = max(0.0, abs(u - n * m / 2) - 0.5)
    p = math.erfc(distance / spread / math.sqrt(2)) if spread else 1.0
    return Compared(u, p, u / (n * m))


class Asker:
    """One keep-alive connection of one client."""

    def __init__(self, served: Served, name: str, secret: str) -> None:
        where = urlsplit(served.base)
        self._http = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        self._form = {
            "grant_type": "client_credentials",
            "client_id": name,
            "client_secret": secret,
        }
        self._renew()

    def _renew(self) -> None:
        """A token of its own time: a run on a slow machine outlives one."""
        self._headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = json.loads(self.ask("POST", "/oauth/token", urlencode(self._form))[1])
        self._renewed = time.monotonic()
        self._headers = {
            "Authorization": f"Bearer {answer['access_token']}",
            "Content-Type": "application/fhir+json",
        }

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Status and body."""
        self._http.request(method, path, body, self._headers)
        answer = self._http.getresponse()
        return answer.status, answer.read()

    def timed(self, path: str, expected: int) -> float | None:
        """Nanoseconds until the answer was there, None where the service is busy; RuntimeError for another."""
        if time.monotonic() - self._renewed > _RENEWED_SECONDS:
            self._renew()
            self.ask("GET", path)
        begun = time.perf_counter_ns()
        status, _ = self.ask("GET", path)
        taken = time.perf_counter_ns() - begun
        if status == 503:
            return None
        if status != expected:
            raise RuntimeError(f"an answer was {status}, not {expected}")
        return taken

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def _client(served: Served, state: Path, name: str) -> str:
    added = throughline(
        state, "client", "add", "--name", name, "--organization", name, **served.settings
    )
    if added.returncode:
        raise RuntimeError(added.stderr)
    return added.stdout.strip()


def _written(writer: Asker, records: int) -> list[tuple[str, str]]:
    """Patients with an Observation each, by their ids."""
    found: list[tuple[str, str]] = []
    for start in range(0, records, _TRANSACTION // 2):
        entries: list[dict[str, Any]] = []
        for number in range(start, min(records, start + _TRANSACTION // 2)):
            patient = f"urn:uuid:{UUID(int=number)}"
            observation = {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
                "subject": {"reference": patient},
            }
            for resource, url in (({"resourceType": "Patient"}, patient), (observation, None)):
                entry: dict[str, Any] = {
                    "resource": resource,
                    "request": {"method": "POST", "url": resource["resourceType"]},
                }
                entries.append(entry | ({"fullUrl": url} if url else {}))
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        status, body = writer.ask("POST", "/fhir", json.dumps(bundle))
        if status != 200:
            raise RuntimeError(f"writing was answered with {status}")
        places = [each["response"]["location"] for each in json.loads(body)["entry"]]
        ids = [place.split("/_history/")[0].rsplit("/", 1)[1] for place in places]
        found += zip(ids[::2], ids[1::2], strict=True)
    return found


def _interleaved(
    asker: Asker,
    hidden: Sequence[str],
    missing: Sequence[str],
    expected: int,
    count: int,
    seed: int,
) -> tuple[list[float], list[float]]:
    """Times of `count` requests, half of each kind, each pair in random order.

    A pair in which the service was busy counts on neither side.
    """
    random = Random(seed)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count // 2):
        pair = [(0, random.choice(hidden)), (1, random.choice(missing))]
        random.shuffle(pair)
        taken = {kind: asker.timed(path, expected) for kind, path in pair}
        if None in taken.values():
            continue
        for kind, each in taken.items():
            times[kind].extend([each] if each is not None else ())
    return times


def measure(
    requests: int,
    records: int,
    seed: int,
    tell: Callable[[str], None],
    kinds: Sequence[str] = _KINDS,
    beat: int | None = None,
) -> list[Compared]:
    """Compare hidden with missing, reading and searching; requests: of each kind, 4 at least.

    beat: TL_ANSWER_BEAT_MS of the service; None for its default.
    """
    random = Random(seed)
    found: list[Compared] = []
    with tempfile.TemporaryDirectory(prefix="tl-timing-") as folder:
        Path(folder).chmod(0o711)
        state = Path(folder) / "state"
        settings = {} if beat is None else {"TL_ANSWER_BEAT_MS": str(beat)}
        with serving(state, "serve", **settings) as served:
            secrets = {name: _client(served, state, name) for name in ("keeper", "stranger")}
            writer = Asker(served, "keeper", secrets["keeper"])
            known = _written(writer, records)
            # Connected only now: a connection that lies idle for long is closed.
            asker = Asker(served, "stranger", secrets["stranger"])
            nobody = [str(UUID(int=random.getrandbits(128), version=4)) for _ in known]
            for name, path, expected, ids in (
                ("read", "/fhir/Observation/{}", 404, [entry for _, entry in known]),
                ("search", "/fhir/Observation?patient={}", 200, [person for person, _ in known]),
            ):
                if name not in kinds:
                    continue
                hidden, missing = ([path.format(id_) for id_ in each] for each in (ids, nobody))
                if asker.ask("GET", hidden[0])[1].replace(ids[0].encode(), b"") != asker.ask(
                    "GET", missing[0]
                )[1].replace(nobody[0].encode(), b""):
                    tell(f"{name}: the answers differ in more than times")
                _interleaved(asker, hidden, missing, expected, max(2, requests // 20), seed)
                times = _interleaved(asker, hidden, missing, expected, requests, seed + 1)
                compared = mann_whitney(*times)
                middle = [sorted(each)[len(each) // 2] / 1000 for each in times]
                verdict = "apart" if compared.p < ALPHA else "not told apart"
                tell(
                    f"{name}: {verdict}, p = {compared.p:.3g}, hidden takes longer in "
                    f"{compared.larger:.2%} of pairs; p50 {middle[0]:.0f} µs hidden, "
                    f"{middle[1]:.0f} µs missing; {len(times[0]):,} of each"
                )
                found.append(compared)
            for each in (writer, asker):
                each.close()
            served.end()
    return found


def main() -> int:
    """Print both comparisons; 1 where hidden and missing were told apart."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=_KINDS, default=_KINDS)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--beat", type=int, help="TL_ANSWER_BEAT_MS of the service; 0 for none")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    found = measure(
        *(given.requests, RECORDS, given.seed),
        tell=lambda text: print(f"  {text}", flush=True),
        kinds=given.kinds,
        beat=given.beat,
    )
    return int(any(each.p < ALPHA for each in found))


if __name__ == "__main__":
    raise SystemExit(main())
