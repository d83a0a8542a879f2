"""What all sources are: a thread that calls back until it is at the end or told to stop."""

from __future__ import annotations

import abc
import itertools
import logging
import threading
from collections.abc import Callable

from ai_runner_base.errors import RunnerError
from ai_runner_base.media._reader import Delivery, Stopped
from ai_runner_base.media._types import DecoderCounters, MediaInfo

logger = logging.getLogger(__name__)
_numbers = itertools.count(1)


class SourceThread(abc.ABC):
    """Reads on a thread of its own (a `Source`).

    `on_end` comes once, last, with None at the proper end of the input; it does not come after `stop`.

    :param name: of the thread, before a number
    """

    def __init__(
        self, name: str, delivery: Delivery, on_end: Callable[[RunnerError | None], None] | None
    ) -> None:
        self._delivery = delivery
        self._on_end = on_end
        self._thread = threading.Thread(target=self._run, name=f"{name}-{next(_numbers)}", daemon=True)

    @property
    def info(self) -> MediaInfo | None:
        """The tracks, as soon as they are known."""
        return self._delivery.info

    @property
    def counters(self) -> DecoderCounters:
        """Running totals."""
        return self._delivery.counters

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End at once; what was not delivered yet is lost. No callback begins after it has returned.

        :returns: True when the thread is gone. False while it is in a callback that does not return, or in
            FFmpeg waiting for a dead peer, which it leaves within `DecoderOptions.read_timeout_s`: PyAV (to 18)
            offers no other way to interrupt it.
        """
        self._delivery.stopped = True
        self._interrupt()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @abc.abstractmethod
    def _read(self) -> None:
        """Read to the end. On the thread.

        :raises Stopped: it was told to stop
        :raises RunnerError: why there is no more
        """

    @abc.abstractmethod
    def _interrupt(self) -> None:
        """Wake a `_read` that waits; the delivery is stopped already."""

    def _run(self) -> None:
        error: RunnerError | None = None
        try:
            self._read()
        except Stopped:
            return
        except RunnerError as problem:
            error = problem
        except Exception as problem:
            logger.exception("The decode thread failed")
            error = RunnerError(f"the decode thread failed: {problem!r}")
        if self._on_end is not None and not self._delivery.stopped:
            self._on_end(error)
