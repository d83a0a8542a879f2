"""Live streams: a source, a worker and a sink joined; the runner that keeps them."""

from ._meters import BOUNDS_MS, Histogram
from .browser import BROWSER_URL, BrowserStream
from .connect import Connector, LiveStream
from .job import FileJob, JobProgress, JobResult
from .jpeg_sender import BrowserResult
from .jpeg_watch import JpegWatch
from .output import Output
from .pool import OnDemand, Pool, Seat
from .published import PUBLISHED_URL, PublishedStream, encoder_options
from .runner import Runner, StreamRequest
from .state import StreamState
from .stream import Stream

__all__ = [
    "BOUNDS_MS",
    "BROWSER_URL",
    "PUBLISHED_URL",
    "BrowserResult",
    "BrowserStream",
    "Connector",
    "FileJob",
    "Histogram",
    "JobProgress",
    "JobResult",
    "JpegWatch",
    "LiveStream",
    "OnDemand",
    "Output",
    "Pool",
    "PublishedStream",
    "Runner",
    "Seat",
    "Stream",
    "StreamRequest",
    "StreamState",
    "encoder_options",
]
