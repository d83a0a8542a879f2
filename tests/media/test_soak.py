"""A stream among misfortunes, for less than a minute; `bench/soak.py` is the long version, with more of them."""

from __future__ import annotations

import pytest
from tests._support.soak.faults import FAULTS
from tests._support.soak.run import soak

pytestmark = pytest.mark.media

MET = (
    "worker killed",
    "half segment in",
    "garbage between frames",
    "output peer 5xx",
    "clock jumps forward",
    "parameter flood",
    "clock jumps back",
    "input peer gone",
    "worker hung",
)
"""Each of another kind; what is left out takes long, or more restarts than a worker has in so short a time. The last
one is long and quiet: what the others took of memory, descriptors and tasks must be given back by then."""


@pytest.mark.timeout(240)
async def test_a_stream_survives_each_misfortune_and_tells_of_it() -> None:
    by_name = {fault.name: fault for fault in FAULTS}
    report, log = await soak([by_name[name] for name in MET], minutes=0, every_s=1, finale=False)
    assert not report.problems, "\n".join([*report.problems, *log[-40:]])
    assert [met.name for met in report.faults] == list(MET)
    assert report.restarts == 2
    assert report.processed > 300
    assert set(report.flood_answers) <= {200, 400, 429}
