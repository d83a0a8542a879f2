"""The stream batch: while one frame takes its first step, the one before takes its second, all in one pass.

With n steps a painting comes out n-1 frames after its picture went in, for the price of one pass with n rows.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import torch

from .denoiser import Conditions, Denoiser, Rows

Token = TypeVar("Token")


class StreamBatch(Generic[Token]):
    """Frames under way between two passes. A token says whose row it is.

    The batch is always full, so that every pass has the same shape: where there is no frame (at the start, and when
    there are more steps than before), a copy of a neighbour goes along, whose result nobody gets.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self._rows: Rows | None = None
        self._tokens: deque[Token | None] = deque()
        self._newest: Rows | None = None

    @property
    def waiting(self) -> int:
        """How many frames are under way."""
        return sum(token is not None for token in self._tokens)

    def clear(self) -> None:
        """Forget the frames under way."""
        self._rows = self._newest = None
        self._tokens.clear()

    def step(
        self, token: Token | None, newest: Rows, conditions: Conditions
    ) -> tuple[Token | None, torch.Tensor]:
        """Let a frame in, take all one step further, and give the oldest out.

        :param token: None: only a filler, for a frame that nobody waits for
        :param newest: one row: the frame's own latent as estimate and anchor
        :return: whose painting it is, None for a filler; and its latent, (1, C, h, w)
        """
        self._newest = newest
        rows = self._take_in(token, newest, conditions.schedule.steps)
        done = self._denoiser(rows, 0, conditions)
        self._rows = done[:-1]
        return self._tokens.pop(), done.estimates[-1:]

    def drain(self, conditions: Conditions) -> list[tuple[Token, torch.Tensor]]:
        """Take the frames under way to their end without new ones.

        :return: as `step` gives them, in order
        """
        done = []
        while self.waiting and self._newest is not None:
            token, latent = self.step(None, self._newest, conditions)
            if token is not None:
                done.append((token, latent))
        return done

    def pass_by(self, token: Token) -> Token | None:
        """Let a frame in that looks like those under way, without a pass: each row stands for the next frame.

        :return: the frame whose turn it would have been to come out
        """
        self._tokens.appendleft(token)
        return self._tokens.pop()

    def _take_in(self, token: Token | None, newest: Rows, steps: int) -> Rows:
        """All rows of this pass, as many as there are steps."""
        self._tokens.appendleft(token)
        while len(self._tokens) > steps:  # there were more steps before: the oldest are lost
            self._tokens.pop()
        self._tokens.extend([None] * (steps - len(self._tokens)))
        before = self._rows if self._rows is not None and len(self._rows) else newest
        if steps == 1:
            return newest
        if (missing := steps - 1 - len(before)) > 0:
            before = before.followed_by(before[-1:].repeated(missing))
        return newest.followed_by(before[: steps - 1])


def step_by_step(denoiser: Denoiser, newest: Rows, conditions: Conditions) -> torch.Tensor:
    """Take one frame through all steps, one pass each: no frame waits for another.

    :return: its latent, (1, C, h, w)
    """
    rows = newest
    for step in range(conditions.schedule.steps):
        rows = denoiser(rows, step, conditions)
    return rows.estimates
