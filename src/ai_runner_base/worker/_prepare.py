"""``--prepare``: download and compile a pipeline's models ahead of time, in its own environment.

Progress goes to stdout, as the pipeline prints it or logs it, one line each; the last line is
``prepared NAME in N s``. Errors go to stderr. The exit code is the error's
(`ai_runner_base.errors`), 0 when all is there.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback

from ..errors import PipelineError, RunnerError
from ..pipeline import load_pipeline
from ._reports import describe


def prepare(entry_point: str) -> int:
    """Run ``prepare_models`` of one pipeline.

    :returns: exit code
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper
    started_s = time.monotonic()
    try:
        loaded = load_pipeline(entry_point)
        loaded.pipeline_cls.prepare_models()
    except NotImplementedError:
        sys.stdout.write(f"{entry_point} has nothing to prepare\n")
        return 0
    except Exception as error:
        traceback.print_exc()
        failure = (
            error if isinstance(error, RunnerError) else PipelineError(f"prepare raised {describe(error)}")
        )
        sys.stderr.write(f"{failure}\n")
        return failure.exit_code
    sys.stdout.write(f"prepared {loaded.name} in {time.monotonic() - started_s:.1f} s\n")
    return 0
