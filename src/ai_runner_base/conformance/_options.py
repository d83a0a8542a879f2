"""How thoroughly to check, and against which limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Limits of a check. Those that are about the pipeline are the runner's own, or stricter.

    :param quick: fewer frames and shorter waits, for the test stage of a recipe
    :param cpu: hide GPUs from the pipeline
    :param only: names of rules to check; empty for all
    :param skip: names of rules to leave out
    """

    quick: bool = False
    cpu: bool = False
    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()

    import_limit_s: float = 10.0
    """Whoever lists pipelines waits for each one's import."""
    load_limit_s: float = 180.0
    """The runner's own limit, `supervisor.SupervisorOptions.load_timeout_s`."""
    prepare_limit_s: float = 600.0
    """For the first `prepare_models`, which may download."""
    prepared_limit_s: float = 30.0
    """For the second one, which has nothing left to do."""
    frame_limit_s: float = 10.0
    """The runner takes a pipeline for hung after that."""
    stop_limit_s: float = 2.0
    """The runner sends SIGTERM after that."""
    live_latency_s: float = 1.0
    """95 of 100 frames of a live stream come back within this, plus three times what a frame takes."""
    growth_limit_bytes: int = 8_000_000
    """In 1,000 frames."""
    lines_per_frame: float = 0.1
    """What a pipeline may print or log while it runs."""

    @property
    def frames(self) -> int:
        """How many frames a simple check pushes."""
        return 20 if self.quick else 60

    @property
    def still_frames(self) -> int:
        """How many frames of a still scene show what a value of a parameter does."""
        return 3 if self.quick else 8

    @property
    def long_run_frames(self) -> int:
        """How many frames the memory is watched over, if they fit into `long_run_s`."""
        return 300 if self.quick else 1000

    @property
    def long_run_s(self) -> float:
        """How long the memory is watched at most."""
        return 3.0 if self.quick else 120.0

    @property
    def values_s(self) -> float:
        """How long values of parameters are tried."""
        return 3.0 if self.quick else 600.0

    @property
    def changes(self) -> int:
        """How often parameters are changed under way."""
        return 6 if self.quick else 20

    @property
    def live_s(self) -> float:
        """How long a live stream is played."""
        return 1.0 if self.quick else 5.0
