"""What both encoders are: a thread that takes what is handed over until it is closed, and says once how it ended."""

from __future__ import annotations

import abc
import itertools
import logging
import threading
from collections.abc import Callable

from ai_runner_base.errors import RunnerError
from ai_runner_base.media._types import EncoderCounters

logger = logging.getLogger(__name__)
_numbers = itertools.count(1)


class EncodeThread(abc.ABC):
    """Encodes on a thread of its own.

    What waits is guarded by `_changed`, which is told of every change; `_closing` ends it, and nothing is taken after.

    :param name: of the thread, before a number
    :param on_end: once, last, from the thread: None after `close`, or why no more comes
    """

    def __init__(self, name: str, on_end: Callable[[RunnerError | None], None] | None) -> None:
        self.counters = EncoderCounters()
        self.error: RunnerError | None = None
        self._on_end = on_end
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"{name}-{next(_numbers)}", daemon=True)

    def start(self) -> None:
        """Begin to encode."""
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Encode what waits, deliver the rest, call `on_end`.

        :returns: whether the thread ended in time
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is None:
            self._let_go()
            return True
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @abc.abstractmethod
    def _work(self) -> None:
        """Encode until `_closing` is set and nothing waits, and finish. On the thread.

        :raises RunnerError: why no more comes
        """

    @abc.abstractmethod
    def _let_go(self) -> None:
        """Free the encoder and give back the frames that still wait; nothing is added any more."""

    def _run(self) -> None:
        try:
            self._work()
        except RunnerError as problem:
            self.error = problem
        except Exception as problem:
            logger.exception("The encode thread failed")
            self.error = RunnerError(f"the encode thread failed: {problem!r}")
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._let_go()
        if self._on_end is not None:
            self._on_end(self.error)
