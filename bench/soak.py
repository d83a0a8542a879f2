"""A live stream that meets a fault every few seconds, and what each of them costs.

512x512 at 24 fps with sound; the runner, its worker and two orchestrators are processes of their own (see
`tests/_support/soak`). Prints for each fault how long no processed picture came and whether events and metrics told of
it, and memory, descriptors, threads and tasks of runner and worker before and after. The exit code is 1 when anything
was wrong. A short version runs as `tests/media/test_soak.py`.

    python bench/soak.py [--minutes 10] [--every 20] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests._support.soak.faults import FAULTS
from tests._support.soak.report import Met, Report
from tests._support.soak.run import soak


def show(report: Report) -> None:
    """Print the table."""
    print(
        f"{report.seconds:.0f} s, {len(report.faults)} faults: {report.sent} frames sent, {report.shown} shown"
        f" ({report.processed} processed, {report.waiting} waiting pictures), {len(report.wrong)} wrong,"
        f" {len(report.out_of_order)} out of order, {report.restarts} restarts of the worker"
    )
    loads = report.machine_loads
    print(
        f"load of the machine ({os.cpu_count()} processors): {statistics.median(loads):.1f}, worst {max(loads):.1f}"
    )
    print(f"\n{'fault':<26}{'met':>4}{'downtime s: median':>20}{'worst':>8}{'events':>8}{'metrics':>9}")
    kinds: defaultdict[str, list[Met]] = defaultdict(list)
    for met in report.faults:
        kinds[met.name].append(met)
    for name, all_met in kinds.items():
        downs = [met.downtime_s for met in all_met]
        print(
            f"{name:<26}{len(all_met):>4}{statistics.median(downs):>20.2f}{max(downs):>8.2f}"
            f"{_yes(all(met.in_events for met in all_met)):>8}{_yes(all(met.in_metrics for met in all_met)):>9}"
        )
    print(f"\n{'':<26}{'first':>10}{'last':>10}{'per minute':>12}")
    for process, trends in report.trends.items():
        for measure, trend in trends.items():
            name = f"{process} {measure}"
            print(f"{name:<26}{trend.first:>10.1f}{trend.last:>10.1f}{trend.per_minute:>+12.2f}")
    print(
        f"\nstream at the end: {report.state or 'gone'}; peer gone for good: {report.long_outage_reason or '-'};"
        f" next stream: {report.next_stream_frames} frames"
        f"\nSIGTERM: exit code {report.exit_code} after {report.stop_s:.1f} s;"
        f" answers to the flood: {report.flood_answers}"
    )
    for problem in report.problems:
        print(f"PROBLEM: {problem}")


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--minutes", type=float, default=10, help="at least; every fault is met once")
    options.add_argument(
        "--every", type=float, default=20, help="seconds from one fault to the next, at least"
    )
    options.add_argument("--faults", default="", help="only those whose name matches this expression")
    options.add_argument("--no-finale", action="store_true", help="leave the long outage at the end out")
    options.add_argument("--log", type=Path, help="write the runner's log here")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    faults = [fault for fault in FAULTS if re.search(given.faults, fault.name)]
    report, log = asyncio.run(soak(faults, given.minutes, given.every, finale=not given.no_finale))
    if given.log:
        given.log.write_text("\n".join(log))
    if given.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        show(report)
    sys.exit(bool(report.problems))


if __name__ == "__main__":
    main()
