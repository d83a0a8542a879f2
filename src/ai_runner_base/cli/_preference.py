"""Which pipeline `serve` takes when none is named: the first of a list that this host runs fast enough."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..catalog import Catalog, InstalledPipeline
from ..conformance import Speed
from ..errors import RunnerError
from ._speeds import BUSY, Speeds

log = logging.getLogger(__name__)

ENOUGH_FPS = 15.0
"""At 640x480, alone in its worker. Below this a moving picture looks like a row of stills."""
_TRY_AGAIN_AFTER_S = 7 * 86_400.0
"""The host may have been throttled, or have become faster."""


@dataclass(frozen=True)
class Preference:
    """Installed pipelines, the most wanted first; the last one is taken whatever its speed, and never measured."""

    items: tuple[InstalledPipeline, ...]
    speeds: Speeds = field(default_factory=Speeds)

    @classmethod
    def among(cls, names: Sequence[str], catalog: Catalog) -> Preference | None:
        """Return the wanted ones that are installed and can be started; None if there are none."""
        startable = {item.name for item in catalog.pipelines if item.problem is None}
        items = tuple(catalog.find(name) for name in dict.fromkeys(names) if name in startable)
        return cls(items) if items else None

    def known(self) -> InstalledPipeline | None:
        """Return the one to serve; None while something must be measured first."""
        for item in self.items[:-1]:
            speed = self._speed(item)
            if speed is None:
                return None
            if speed.fps >= ENOUGH_FPS:
                return item
        return self.items[-1]

    async def find(self, tell: Callable[[str], None]) -> InstalledPipeline:
        """Return the one to serve, measuring what is not known.

        :param tell: gets a line for people before and after each measurement
        """
        for item in self.items[:-1]:
            speed = self._speed(item) or await self._measure(item, tell)
            if speed is not None and speed.fps >= ENOUGH_FPS:
                return item
        return self.items[-1]

    def _speed(self, item: InstalledPipeline) -> Speed | None:
        """What is known, unless it is a verdict that deserves another hearing."""
        speed = self.speeds.of(item)
        if speed is None or speed.fps >= ENOUGH_FPS:
            return speed
        return None if speed.others > BUSY or self.speeds.age_s(item) > _TRY_AGAIN_AFTER_S else speed

    async def _measure(self, item: InstalledPipeline, tell: Callable[[str], None]) -> Speed | None:
        tell(f"measuring how fast {item.name} is on this host: about 6 s, once (--no-measure skips it)")
        try:
            speed = await self.speeds.measure(item)
        except RunnerError as error:
            log.warning("%s is left out: %s", item.name, error)
            return None
        tell(f"{item.name}: {speed.fps:.0f} fps at {speed.width}x{speed.height}{self._verdict(item, speed)}")
        return speed

    def _verdict(self, item: InstalledPipeline, speed: Speed) -> str:
        if speed.fps >= ENOUGH_FPS:
            return ""
        busy = f" (others use {speed.others:.0%} of the processors; asked again next time)"
        following = self.items[self.items.index(item) + 1]
        instead = f", less than {ENOUGH_FPS:g}: {following.name} instead"
        return instead + (busy if speed.others > BUSY else "")
