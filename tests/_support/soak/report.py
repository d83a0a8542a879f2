"""What a soak found, in figures; what of it is wrong."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import numpy as np

MIB = 1 << 20
MEASURES = ("memory_mib", "descriptors", "threads", "tasks")
MAY_GROW = {"memory_mib": 12.0, "descriptors": 4.0, "threads": 1.0, "tasks": 4.0}
"""From the first fifth of the samples to the last one, by medians: what allocators and caches take, no more."""
MIN_SAMPLES = 10


@dataclass(frozen=True)
class Sample:
    """One look at a process. `tasks` are the runner's asyncio tasks."""

    at_s: float
    memory_mib: float
    descriptors: int
    threads: int
    tasks: int = 0


@dataclass
class Met:
    """One fault that was met.

    :param downtime_s: longest time without a processed picture, from the fault to the next one
    """

    name: str
    at_s: float
    downtime_s: float
    recovered: bool
    in_events: bool
    in_metrics: bool


@dataclass(frozen=True)
class Trend:
    """A measure over the soak: medians of the first and last fifth of the samples, and a line through all."""

    first: float
    last: float
    per_minute: float


@dataclass
class Report:
    """The whole soak."""

    seconds: float = 0.0
    sent: int = 0
    shown: int = 0
    processed: int = 0
    waiting: int = 0
    wrong: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    faults: list[Met] = field(default_factory=list)
    trends: dict[str, dict[str, Trend]] = field(default_factory=dict)
    """By process (``runner``, ``worker``) and measure."""
    up_at_the_end: bool = False
    long_outage_reason: str = ""
    next_stream_frames: int = 0
    exit_code: int | None = None
    stop_s: float = 0.0
    processes_left: list[str] = field(default_factory=list)
    restarts: int = 0
    flood_answers: dict[int, int] = field(default_factory=dict)
    state: str = ""
    machine_loads: list[float] = field(default_factory=list)
    """The machine's load average of one minute, after each fault: who else has its processors."""
    problems: list[str] = field(default_factory=list)


def trend_of(samples: list[Sample], measure: str) -> Trend:
    """:param samples: at least two, in order of time."""
    values = [float(getattr(sample, measure)) for sample in samples]
    fifth = max(1, len(values) // 5)
    slope = float(np.polyfit([sample.at_s / 60 for sample in samples], values, 1)[0])
    return Trend(statistics.median(values[:fifth]), statistics.median(values[-fifth:]), slope)


def find_problems(report: Report, *, finale: bool) -> list[str]:
    """Everything that an operator would not want."""
    found = [f"wrong picture: {text}" for text in report.wrong[:5]]
    found += [f"out of order: {text}" for text in report.out_of_order[:5]]
    for met in report.faults:
        found += [f"{met.name} at {met.at_s:.0f} s: no recovery"] if not met.recovered else []
        found += [f"{met.name} at {met.at_s:.0f} s: not in events"] if not met.in_events else []
        found += [f"{met.name} at {met.at_s:.0f} s: not in metrics"] if not met.in_metrics else []
    for process, trends in report.trends.items():
        for measure, trend in trends.items():
            if trend.last - trend.first > MAY_GROW[measure]:
                found.append(f"{measure} of the {process} grew from {trend.first:.0f} to {trend.last:.0f}")
    found += [] if report.up_at_the_end else ["the stream was not up at the end"]
    if finale and not report.long_outage_reason:
        found.append("a peer that was gone for good did not end the stream")
    if finale and report.next_stream_frames < 1:
        found.append("no stream worked after a long outage")
    found += [] if report.exit_code == 0 else [f"exit code {report.exit_code} after SIGTERM"]
    found += [f"left behind: {name}" for name in report.processes_left]
    return found
