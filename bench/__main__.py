"""Every program that needs the loaded store, and that of recompiling, into one table: bench/RESULTS.md.

python -m bench [--patients 20000] [--smaller 5000] [--keep]
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

from bench import consent, package, read_path, recompile, search
from bench.load import arguments, store
from bench.report import Report

RESULTS = Path(__file__).parent / "RESULTS.md"
_HEAD = """# Results

Written by `make bench`; what each figure proves is in README.md. Things are timed in turns, so that the
ratios hold on a machine that does other work as well; the milliseconds only for the machine and moment named.

"""


def main() -> None:
    parser = arguments("Measure everything")
    parser.add_argument("--smaller", type=int, default=5_000)
    given = parser.parse_args()
    file = given.report or RESULTS
    file.write_text(_HEAD)
    with ExitStack() as stack:
        large = stack.enter_context(store(given.patients, given.folder, keep=given.keep))
        report = Report("The read path", large[1])
        for figure in read_path.measure(*large, rounds=15, seconds=1.0, cases=given.cases):
            report.add(figure)
        report.end(file)
        report = Report("Consent", large[1])
        asyncio.run(consent.measure(*large, report, min(given.cases, 150)))
        recompiled = recompile.run(times=10)
        for kind in (recompile.CHANGED, recompile.WITHDRAWN):
            report.add(recompiled.figure(kind, recompile.CONSENTS, recompile.ROWS))
        report.note(f"In a store of its own, after it: {recompiled.told(recompile.WRITTEN)}.")
        report.end(file)
        report = Report("Searches", large[1])
        asyncio.run(search.figures(*large, report, search.BATCH))
        small = stack.enter_context(store(given.smaller, keep=given.keep))
        asyncio.run(search.growth((small, large), report, search.BATCH))
        report.end(file)
        report = Report("The referral package", large[1])
        asyncio.run(package.measure(*large, report, 10))
        report.end(file)


if __name__ == "__main__":
    main()
