"""What went wrong around a stream without ending it: counted for ``/metrics``, told in events.

The ends count by themselves, in their status; `_INPUT` and `_OUTPUT` say which of those counters are faults, what
they are called for machines and what they mean for people. The rest is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ._ends import Sink, Source

_INPUT = {
    "retried": ("input_reconnect", "input: {} failed request(s) made again"),
    "incomplete_segments": ("input_incomplete", "input: {} segment(s) without their end"),
    "lost_packets": ("input_lost", "input: {} gap(s) in its packets"),
    "resyncs": ("input_resync", "input: rubbish between its packets, {} time(s)"),
    "invalid_packets": ("input_invalid", "input: {} frame(s) that cannot be decoded"),
    "invalid": ("input_invalid", "input: {} picture(s) that cannot be decoded"),
    "device_failures": (
        "input_device",
        "input: decoding on the device failed, {} time(s), and goes on in software",
    ),
    "discontinuities": ("input_jump", "input: its clock jumped, {} time(s)"),
    "skipped_late": ("input_late", "input: {} picture(s) left out, decoding is behind"),
    "live_edge_skips": ("input_skip", "input: skipped to its newest bytes, {} time(s)"),
}
_OUTPUT = {
    "failed_segments": ("output_failed", "output: {} segment(s) did not reach the peer whole"),
    "late_segments": ("output_slow", "output: {} segment(s) that the peer was slow to take"),
    "skipped_segments": ("output_skip", "output: {} segment(s) left out in part, the peer takes too little"),
    "reopened": ("output_reopened", "output: the encoder failed and was opened again, {} time(s)"),
}
_SIDE = {
    "events_lost": "events: {} lost while their channel was away",
    "events_retried": "events: {} sent again, their channel did not take them",
    "events_reopened": "events: their channel was away and opened again, {} time(s)",
    "control_reopened": "control: its channel was away and opened again, {} time(s)",
    "params_refused": "parameters: {} change(s) refused",
    "params_failed": "parameters: {} change(s) over which the pipeline failed",
    "params_overrun": "parameters: {} change(s) more than may wait",
}


class Faults:
    """The faults of one stream.

    :param source: counts those of the input
    :param sink: counts those of the output
    :param params: counts changes of parameters by outcome
    """

    def __init__(self, source: Source, sink: Sink, params: Mapping[str, int]) -> None:
        self._source, self._sink, self._params = source, sink, params
        self._own: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    def add(self, kind: str, count: int = 1) -> None:
        """Count what no end counts."""
        self._own[kind] += count

    def counts(self) -> Counter[str]:
        """Return all counts by kind; none ever falls."""
        found = self._own.copy()
        found.update({f"params_{outcome}": n for outcome, n in self._params.items() if outcome != "applied"})
        for table, status in ((_INPUT, self._source.status()), (_OUTPUT, self._sink.status())):
            for name, (kind, _) in table.items():
                found[kind] += _number(status, name)
        return +found

    def news(self) -> tuple[str, dict[str, int]]:
        """Return what came since the last call, as a sentence and by kind; what has events of its own is left out."""
        counts = self.counts()
        fresh = {kind: n for kind in _WORDS if (n := counts[kind] - self._told[kind]) > 0}
        self._told = counts
        return "; ".join(_WORDS[kind].format(n) for kind, n in fresh.items()), fresh


_WORDS = _SIDE | dict(_INPUT.values()) | dict(_OUTPUT.values())


def _number(status: Mapping[str, Any], name: str) -> int:
    value = status.get(name, 0)
    return value if isinstance(value, int) else 0
