"""A file or URL through a worker into another one: the same ring as a live stream, in lossless mode.

Every frame in order, with its PTS; the audio beside it. Whoever is slowest sets the pace: the decoder waits for a
slot, the worker for a free output slot.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CallerError, PipelineError, RunnerError
from ..media import AudioPacket, Decoder, FileEncoder, FileOptions, Fitter, MediaInfo, Picture
from ..supervisor import Failed, Restarted, Supervisor, WorkerEvent, WorkerOutput, WorkerSession

SIZE_STEP_PX = 8
"""Widths and heights of parameters are multiples of this (`pipeline.BaseParams`)."""
OPEN_LIMIT_S = 60.0
STALL_LIMIT_S = 120.0
"""Longest wait for any progress of the pipeline; its supervisor notices a hanging frame much earlier."""
CLOSE_LIMIT_S = 60.0


@dataclass(frozen=True)
class JobProgress:
    """How far a job is.

    :param total: frames of the input where its container tells
    """

    frames: int
    total: int | None


@dataclass(frozen=True)
class JobResult:
    """What a job did.

    :param unanswered: input frames for which the pipeline gave nothing; it is the pipeline's right
    """

    width: int
    height: int
    frames_in: int
    frames_out: int
    unanswered: int
    audio_packets: int


class FileJob:
    """One job on one ready worker.

    :param source: path or URL
    :param target: path or URL; a file appears under its name only when it is complete
    :param params: what is left out has its default; width and height default to the input's
    """

    def __init__(
        self,
        supervisor: Supervisor,
        source: str,
        target: str,
        params: Mapping[str, Any],
        on_progress: Callable[[JobProgress], None] = lambda _: None,
    ) -> None:
        self._supervisor, self._source, self._target = supervisor, source, target
        self._params, self._on_progress = dict(params), on_progress
        self._loop = asyncio.get_running_loop()
        self._info: asyncio.Future[MediaInfo] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._set_up = threading.Event()
        self._aborted = False
        self._frames_in = 0
        self._frames_out = 0
        self._total: int | None = None
        self._fitter: Fitter | None = None
        self._size = (0, 0)
        self._encoder: FileEncoder | None = None
        self._session: WorkerSession | None = None

    async def run(self) -> JobResult:
        """Carry the job to its end.

        :raises RunnerError: whoever's fault it was; no half-written file is left under the target's name
        """
        part = _part_path(self._target)
        decoder = Decoder(
            self._source,
            on_video=self._on_video,
            on_audio=self._on_audio,
            on_info=self._on_info,
            on_end=self._on_end,
        )
        decoder.start()
        try:
            info = await self._first_info()
            result = await self._transform(info, str(part or self._target))
        except BaseException as error:
            await self._give_up(decoder, part)
            if isinstance(error, RunnerError) and part is not None:
                error.message = error.message.replace(str(part), self._target)
            raise
        await asyncio.to_thread(decoder.stop)
        if part is not None:
            await asyncio.to_thread(part.replace, self._target)
        return result

    def on_worker_event(self, event: WorkerEvent) -> None:
        """Take an event of the worker; a job does not survive the loss of frames. On the event loop."""
        if isinstance(event, Restarted):
            self._fail(PipelineError(f"the worker died during the job: {event.reason}"))
        elif isinstance(event, Failed):
            self._fail(event.error)

    # --- setting up -------------------------------------------------------------------------------------------------

    async def _first_info(self) -> MediaInfo:
        either: list[asyncio.Future[Any]] = [self._info, self._ended]
        await asyncio.wait(either, timeout=OPEN_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if self._info.done():
            return self._info.result()
        if self._ended.done():
            self._ended.result()
        raise CallerError(f"{self._source}: no video within {OPEN_LIMIT_S:.0f} s", hint="check the input")

    async def _transform(self, info: MediaInfo, target: str) -> JobResult:
        applied = await self._supervisor.update_params(self._sized(info))
        self._size = int(applied.params["width"]), int(applied.params["height"])
        self._fitter = Fitter(*self._size)
        slots = self._supervisor.options.slots
        width, height = applied.output_size or self._size
        options = FileOptions(
            queue_frames=slots
        )  # all output slots: the event loop never waits for the encoder
        self._encoder = FileEncoder(target, width, height, audio=info.audio, options=options)
        await asyncio.to_thread(self._encoder.start)
        self._session = self._supervisor.open_session(
            request_id="job", lossless=True, on_output=self._on_output, on_error=self._on_error
        )
        self._total = info.frame_count
        self._set_up.set()
        await self._ended
        return await self._finish(self._session, self._encoder)

    def _sized(self, info: MediaInfo) -> dict[str, Any]:
        if info.video is None:
            raise CallerError(f"{self._source} has no video track", hint="check the input")
        own = {side: getattr(info.video, side) // SIZE_STEP_PX * SIZE_STEP_PX for side in ("width", "height")}
        return {**own, **self._params} if all(own.values()) else self._params

    async def _finish(self, session: WorkerSession, encoder: FileEncoder) -> JobResult:
        if not await session.drain(STALL_LIMIT_S):
            raise PipelineError("the pipeline keeps frames to itself", hint="its last frames never came back")
        session.close()
        if not await asyncio.to_thread(encoder.close, CLOSE_LIMIT_S):
            raise RunnerError(f"{self._target} was not finished within {CLOSE_LIMIT_S:.0f} s")
        if encoder.error is not None:
            raise encoder.error
        if encoder.counters.frames == 0:
            raise PipelineError(
                f"no frame came back of {self._frames_in} that went in", hint="what it said stands above"
            )
        return JobResult(
            *self._size,
            frames_in=self._frames_in,
            frames_out=encoder.counters.frames,
            unanswered=session.counters.unanswered,
            audio_packets=encoder.counters.audio_packets,
        )

    async def _give_up(self, decoder: Decoder, part: Path | None) -> None:
        self._aborted = True
        self._set_up.set()
        if self._session is not None:
            self._session.close()
        await asyncio.to_thread(decoder.stop)
        if self._encoder is not None:
            await asyncio.to_thread(self._encoder.close, CLOSE_LIMIT_S)
        if part is not None:
            await asyncio.to_thread(part.unlink, missing_ok=True)

    # --- on the decode thread ---------------------------------------------------------------------------------------

    def _on_info(self, info: MediaInfo) -> None:
        self._loop.call_soon_threadsafe(self._note_info, info)
        self._set_up.wait()

    def _on_video(self, picture: Picture) -> None:
        if self._aborted or self._session is None or self._fitter is None:
            return
        slot = self._session.acquire(*self._size, timeout_s=STALL_LIMIT_S)
        if slot is None:
            raise PipelineError("the worker takes no more frames")
        self._fitter.into(picture, slot.array)
        self._session.commit(slot, picture.pts, picture.time_base)
        self._frames_in += 1

    def _on_audio(self, packet: AudioPacket) -> None:
        if self._encoder is not None and not self._aborted:
            self._encoder.submit_audio(packet)

    def _on_end(self, error: Exception | None) -> None:
        self._loop.call_soon_threadsafe(self._note_end, error)

    # --- on the event loop ------------------------------------------------------------------------------------------

    def _note_info(self, info: MediaInfo) -> None:
        if not self._info.done():
            self._info.set_result(info)

    def _note_end(self, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)
        elif not self._ended.done():
            self._ended.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    def _on_error(self, message: str) -> None:
        self._fail(PipelineError(message))

    def _on_output(self, output: WorkerOutput) -> None:
        if self._encoder is None or output.is_loading_frame:
            output.release()
            return
        self._encoder.submit(output.array, output.pts, output.time_base, on_done=output.release)
        self._frames_out += 1
        self._on_progress(JobProgress(self._frames_out, self._total))


def _part_path(target: str) -> Path | None:
    """Return where a local file is written until it is complete; None for URLs and devices."""
    if "://" in target:
        return None
    path = Path(target)
    return path.with_name(f".{path.stem}.part{path.suffix}") if not path.exists() or path.is_file() else None
