"""``GET /metrics``: Prometheus exposition of the runner, its workers and its streams. Names carry their units."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import psutil
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ..log_context import lost_lines
from ..stream import BOUNDS_MS, Histogram, Runner

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class RunnerCollector(Collector):
    """Reads a runner at scrape time; nothing is counted twice and nothing runs in between.

    :param version: as ``/version`` tells it
    """

    def __init__(self, runner: Runner, version: str) -> None:
        self._runner, self._version = runner, version

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        identity = GaugeMetricFamily("version", "Version of the runner", labels=["app", "version"])
        identity.add_metric(["ai-runner", self._version], 1)
        yield identity
        tasks = GaugeMetricFamily("ai_runner_event_loop_tasks", "Tasks of the event loop")
        tasks.add_metric([], len(asyncio.all_tasks()))
        lost = CounterMetricFamily("ai_runner_log_lines_lost", "Log lines that nobody read in time")
        lost.add_metric([], lost_lines.count)
        yield from (tasks, lost)
        yield from self._workers()
        yield from self._streams()

    def _workers(self) -> Iterator[Metric]:
        states = GaugeMetricFamily("ai_runner_workers", "Workers by state", labels=["pipeline", "state"])
        restarts = CounterMetricFamily(
            "ai_runner_worker_restarts", "Workers started again", labels=["pipeline"]
        )
        memory = GaugeMetricFamily(
            "ai_runner_worker_resident_bytes", "Memory of workers", labels=["pipeline"]
        )
        seats = list(self._runner.pool)
        for (name, state), n in Counter((s.name, s.supervisor.state.value) for s in seats).items():
            states.add_metric([name, state], n)
        for name in self._runner.pool.names:
            mine = [s.supervisor for s in seats if s.name == name]
            restarts.add_metric([name], sum(s.restart_count for s in mine))
            memory.add_metric([name], sum(_resident_bytes(s.info.pid) for s in mine if s.info))
        yield from (states, restarts, memory)

    def _streams(self) -> Iterator[Metric]:
        live = GaugeMetricFamily("ai_runner_streams", "Live streams by state", labels=["pipeline", "state"])
        codecs = GaugeMetricFamily(
            "ai_runner_stream_codecs",
            "Live streams by what decodes and encodes them",
            labels=["pipeline", "kind", "codec"],
        )
        begun = CounterMetricFamily("ai_runner_streams_started", "Streams started", labels=["pipeline"])
        frames = CounterMetricFamily(
            "ai_runner_frames", "Frames by what became of them", labels=["pipeline", "outcome"]
        )
        faults = CounterMetricFamily(
            "ai_runner_faults", "What went wrong and was survived, by kind", labels=["pipeline", "kind"]
        )
        params = CounterMetricFamily(
            "ai_runner_params_changes", "Changes of parameters by outcome", labels=["pipeline", "outcome"]
        )
        ends = CounterMetricFamily(
            "ai_runner_streams_ended", "Streams that are over, by reason", labels=["pipeline", "reason"]
        )
        latency = HistogramMetricFamily(
            "ai_runner_frame_latency_seconds", "Time of a frame in each stage", labels=["pipeline", "stage"]
        )
        streams = list(self._runner.streams.values())
        for (name, state), n in Counter((s.pipeline, str(s.state)) for s in streams).items():
            live.add_metric([name, state], n)
        for key, n in Counter((s.pipeline, *codec) for s in streams for codec in s.codecs().items()).items():
            codecs.add_metric(list(key), n)
        for name, totals in self._runner.totals.collect(streams).items():
            begun.add_metric([name], totals.streams)
            for metric, counts in (
                (frames, totals.frames),
                (faults, totals.faults),
                (params, totals.params),
                (ends, totals.ends),
            ):
                for label, n in counts.items():
                    metric.add_metric([name, label], n)
            for stage, histogram in totals.stages.items():
                latency.add_metric([name, stage], _buckets(histogram), histogram.sum_ms / 1000)
        yield from (live, codecs, begun, frames, faults, params, ends, latency)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Prometheus wants cumulative counts, and seconds."""
    bounds = [f"{bound / 1000:g}" for bound in BOUNDS_MS] + ["+Inf"]
    buckets, seen = [], 0
    for bound, n in zip(bounds, histogram.counts, strict=True):
        seen += n
        buckets.append((bound, float(seen)))
    return buckets


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


Registry = CollectorRegistry


def registry(runner: Runner, version: str) -> CollectorRegistry:
    """Return a registry with the runner's metrics and the usual ones of a Python process."""
    made = CollectorRegistry()
    made.register(RunnerCollector(runner, version))
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    GCCollector(registry=made)
    return made


def render(made: CollectorRegistry) -> bytes:
    """Return the text exposition."""
    return generate_latest(made)
