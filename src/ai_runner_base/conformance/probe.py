"""Looks at the raw results of a pipeline, in its own interpreter: are there NaNs, which become black pixels later?

``python -I -m ai_runner_base.conformance.probe ENTRY_POINT`` pushes extreme pictures through the pipeline by its
asynchronous interface and writes one JSON object as its last line:

==============  ==================================================================
``pictures``    how many came back
``kinds``       what they were, such as ``float32``
``not_finite``  names of the pictures whose results hold NaN or infinity
``error``       what the pipeline raised, with ``traceback``; empty when nothing
==============  ==================================================================
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from fractions import Fraction
from typing import Any

from ..pipeline import LoadedPipeline, Pipeline, VideoFrame, load_pipeline
from ._pictures import extremes

_ANSWER_LIMIT_S = 10.0
_KEPT_LIMIT_S = 0.2
"""Once a frame was kept: the pipeline collects several before it answers."""
_TIMES = 2
"""Each picture is shown so often: a memory of the picture before may be the divisor."""


async def probe(loaded: LoadedPipeline) -> dict[str, Any]:
    """Push the pictures and look at what comes back.

    :raises Exception: whatever the pipeline raises
    """
    pipeline, params = loaded.pipeline_cls(), loaded.initial_params
    await pipeline.initialize(**params.model_dump())
    kinds: set[str] = set()
    bad: list[str] = []
    count = 0
    shown = [item for item in extremes(params.width, params.height).items() for _ in range(_TIMES)]
    for pts, (name, picture) in enumerate(shown):
        frame = VideoFrame(picture.copy(), pts, Fraction(1, 30))
        await pipeline.put_video_frame(frame, "probe")
        data = await _result(pipeline, _ANSWER_LIMIT_S if count == pts else _KEPT_LIMIT_S)
        if data is not None:
            count += 1
            kinds.add(str(data.dtype))
            if not _is_finite(data) and name not in bad:
                bad.append(name)
    return {"pictures": count, "kinds": ", ".join(sorted(kinds)), "not_finite": bad}


async def _result(pipeline: Pipeline, limit_s: float) -> Any:
    """The next result's picture; None when the pipeline gives none for this frame."""
    try:
        async with asyncio.timeout(limit_s):
            return (await pipeline.get_processed_video_frame()).frame.data
    except TimeoutError:
        return None


def _is_finite(data: Any) -> bool:
    """Whether an array of any library holds numbers only: ``x - x`` is 0 for those and NaN for all others."""
    if "float" not in str(data.dtype):
        return True
    zero = data - data
    return bool((zero == zero).all())


def main(entry_point: str) -> int:
    """Run as a program.

    :return: the exit code
    """
    private_fd = os.dup(1)
    os.dup2(2, 1)
    answer: dict[str, Any] = {"pictures": 0, "kinds": "", "not_finite": [], "error": "", "traceback": ""}
    try:
        answer |= asyncio.run(probe(load_pipeline(entry_point)))
    except BaseException as error:  # SystemExit too
        answer |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc(limit=-6)}
    sys.stderr.flush()
    with os.fdopen(private_fd, "w", encoding="utf-8") as out:
        out.write("\n" + json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    os._exit(code)  # threads and exit handlers of the pipeline are not waited for
