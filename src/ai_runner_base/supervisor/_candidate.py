"""A worker that loads beside the one that counts: until it is chosen, only its words are heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..wire import control, frames, logs
from ._life import Life, LifeObserver
from ._link import FrameLink


class Candidate:
    """Stands between a life and the supervisor.

    :param observer: who is told once it is chosen, and what it writes in any case
    """

    def __init__(self, observer: LifeObserver) -> None:
        self._observer = observer
        self.is_chosen = False

    def loading(self) -> None:
        """The interpreter runs, which is nothing to tell of one among two."""

    def reported(self, report: control.Reported) -> None:
        """The pipeline raised or complained."""
        self._observer.reported(report)

    def applied(self, life: Life, answer: control.ParamsApplied) -> None:
        """Parameters hold, or a reload to get there has begun."""
        if self.is_chosen:
            self._observer.applied(life, answer)

    def reloaded(self, params: Mapping[str, Any]) -> None:
        """A long reload has ended well."""
        if self.is_chosen:
            self._observer.reloaded(params)

    def wrote(self, lines: Sequence[logs.Line]) -> None:
        """The process wrote lines."""
        self._observer.wrote(lines)

    def answered(self, link: FrameLink, message: frames.Result | frames.Returned) -> None:
        """A result, or the lack of one, or it asks for more."""
        if self.is_chosen:
            self._observer.answered(link, message)
