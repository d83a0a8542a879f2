"""One worker process: spawn, output, end. Knows nothing of what is said to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from ..errors import HostError
from ..wire import logs
from ._options import WorkerSpec

_CHUNK_BYTES = 64 * 1024
_MAX_LAST_OUTPUT_CHUNKS = 64


class WorkerProcess:
    """A fresh interpreter of the pipeline's environment.

    It has a session of its own, so that Ctrl-C in the terminal reaches the runner alone.

    :param fds: inherited descriptors by option name
    :param on_lines: called on the loop with what the process wrote
    :param on_exit: called on the loop once, with the exit code, after the last lines
    :raises HostError: it cannot be started
    """

    def __init__(
        self,
        spec: WorkerSpec,
        fds: Mapping[str, int],
        on_lines: Callable[[Sequence[logs.Line]], None],
        on_exit: Callable[[int], None],
    ) -> None:
        self._on_lines = on_lines
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._lines = logs.LineReader()
        self._output_fd, output_end = os.pipe()
        try:
            self._popen = _spawn(spec, fds, output_end)
        except BaseException:
            os.close(self._output_fd)
            raise
        finally:
            os.close(output_end)
        self.ended = asyncio.Event()
        os.set_blocking(self._output_fd, False)
        self._pid_fd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._output_fd, self._read_output)
        self._loop.add_reader(self._pid_fd, self._exited)

    @property
    def pid(self) -> int:
        """Process id, and process group id."""
        return self._popen.pid

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the process.

        :returns: whether it has ended
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.ended.wait()
        return self.ended.is_set()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is still there."""
        if not self.ended.is_set():
            self._popen.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL for the process and all its children that did not leave its group."""
        if not self.ended.is_set():
            _kill_group(self.pid)

    def _exited(self) -> None:
        """The process is a zombie now: its number, and that of its group, are still ours to use."""
        self._loop.remove_reader(self._pid_fd)
        os.close(self._pid_fd)
        _kill_group(self.pid)
        code = self._popen.wait()
        self._read_last_output()
        self.ended.set()
        self._on_exit(code)

    def _read_output(self) -> bool:
        """One chunk a time, so that a chatty pipeline leaves the loop to others.

        :returns: whether there may be more
        """
        try:
            chunk = os.read(self._output_fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if chunk:
            self._on_lines(self._lines.feed(chunk))
        else:
            self._loop.remove_reader(self._output_fd)
        return bool(chunk)

    def _read_last_output(self) -> None:
        """What is in the pipe. Its end may never come: a child that left the group can hold it open."""
        for _ in range(_MAX_LAST_OUTPUT_CHUNKS):
            if not self._read_output():
                break
        self._on_lines(self._lines.close())
        self._loop.remove_reader(self._output_fd)
        os.close(self._output_fd)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _spawn(spec: WorkerSpec, fds: Mapping[str, int], output_fd: int) -> subprocess.Popen[bytes]:
    """Exec, never fork: the child shares nothing with us but the descriptors."""
    python = spec.prefix / "bin" / "python"
    options = [text for name, fd in fds.items() for text in (f"--{name}-fd", str(fd))]
    try:
        return subprocess.Popen(
            [python, "-I", "-m", "ai_runner_base.worker", *options],
            stdin=subprocess.DEVNULL,
            stdout=output_fd,
            stderr=output_fd,
            env=worker_environment(spec),
            pass_fds=tuple(fds.values()),
            start_new_session=True,
        )
    except OSError as error:
        raise HostError(
            f"the interpreter of {spec.name!r} cannot be started: {python}: {error.strerror}",
            hint="install the pipeline's environment again",
        ) from error


def worker_environment(spec: WorkerSpec) -> dict[str, str]:
    """The worker's whole environment.

    Numeric libraries leave one core to decoder and encoder, and do not spin while they wait: that would take
    the processor from those and distort what is measured. What the environment sets stays.
    """
    cores = str(max(1, len(os.sched_getaffinity(0)) - 1))
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    defaults = dict.fromkeys(counts, cores) | {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    path = {"PATH": f"{spec.prefix}/bin:/usr/local/bin:/usr/bin:/bin"}
    source = {"AI_RUNNER_SOURCE": str(spec.source)} if spec.source else {}
    return defaults | path | dict(spec.env) | source
