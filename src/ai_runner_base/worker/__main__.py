"""Command line of the worker; its arguments never change, so that versions can meet in the handshake."""

from __future__ import annotations

import argparse
import os
import sys

from . import _process


def main() -> int:
    """Read the arguments and run.

    :returns: exit code
    """
    parser = argparse.ArgumentParser(prog="ai_runner_base.worker")
    parser.add_argument("--prepare", metavar="ENTRY_POINT", help="download and compile models, then exit")
    for name in ("control", "frame", "input", "output"):
        parser.add_argument(f"--{name}-fd", type=int)
    args = parser.parse_args()
    _import_from(os.environ.get("AI_RUNNER_SOURCE", ""))
    if args.prepare:
        from ._prepare import prepare

        return prepare(args.prepare)
    fds = [args.control_fd, args.frame_fd, args.input_fd, args.output_fd]
    if None in fds:
        parser.error("this program is started by the runner, with four file descriptors")
    _process.take_over(fds)
    from ._worker import run_worker

    return _process.end(run_worker(*fds))


def _import_from(source: str) -> None:
    """Let a pipeline that is being written come before what is installed; its folder stays as it is."""
    if source:
        sys.path.insert(0, source)
        sys.dont_write_bytecode = True


if __name__ == "__main__":
    sys.exit(main())
