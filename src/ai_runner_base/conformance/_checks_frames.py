"""What is checked with frames at the initial parameters: answers, extreme pictures, sizes."""

from __future__ import annotations

from ..supervisor import ParamsRejected
from ._bench import Bench
from ._outcomes import Broken, Skipped
from ._pictures import extremes, moving, still
from ._rig import FRAME_TICKS, TIME_BASE, Answer, Rig
from ._rules import rule

_ODD_SIZES = ((64, 64), (296, 200), (200, 296), (640, 480), (648, 360))
"""(width, height); multiples of 8, as a runner gives them: smallest, portrait, few common divisors."""
_LARGE_SIZES = ((1280, 720), (720, 1280))
_STRANGE_SIZES = ((8, 8), (33, 17), (1001, 3))
_SLACK_S = 1.0
"""How far an output's time may be from those of the inputs."""


@rule(
    "load",
    "It is ready within 180 s, with its own initial parameters.",
    "The runner gives up on it after that, and viewers of a waiting picture do long before.",
    needs="import",
)
async def check_load(bench: Bench) -> str:
    """Start a worker."""
    info = (await bench.main()).info
    if info.initialize_error:
        raise Broken(f"its initial parameters are refused: {info.initialize_error}")
    if info.output_size is None:
        raise Broken("get_output_resolution() raises")
    return f"{info.load_s:.1f} s"


@rule(
    "frames",
    "Frames are answered in order, on the input's timeline, in the size that get_output_resolution() promises.",
    "The encoder is made for that size, and sound is matched by time.",
    needs="load",
)
async def check_frames(bench: Bench) -> str:
    """Push a moving scene."""
    rig = await bench.main()
    count = bench.options.frames
    answers = await rig.push(moving(*rig.size, count))
    require_answers(bench, rig, answers, count)
    slowest_s = max(answer.work_s for answer in answers)
    return f"{len(answers)} of {count} answered, slowest {slowest_s * 1000:.0f} ms"


def require_answers(bench: Bench, rig: Rig, answers: list[Answer], count: int) -> None:
    """Check what came back for `count` frames that were pushed last.

    :raises Broken: too few, out of order, on another timeline, or in another size
    """
    if not answers or (bench.is_frame_pipeline and len(answers) < count):
        raise Broken(f"{len(answers)} of {count} frames were answered")
    times_s = [answer.time_s for answer in answers]
    if times_s != sorted(times_s):
        raise Broken("answers came out of order", str(times_s[:20]))
    last_s = rig.pushed * FRAME_TICKS * float(TIME_BASE)
    if times_s[-1] > last_s + _SLACK_S or times_s[0] < last_s - count / 30 - _SLACK_S:
        raise Broken(f"outputs at {times_s[0]:g} to {times_s[-1]:g} s, inputs up to {last_s:g} s")
    require_size(answers, rig.output_size)


def require_size(answers: list[Answer], promised: tuple[int, int] | None) -> None:
    """Check the size of outputs.

    :raises Broken: it is not the one that was promised
    """
    for answer in answers:
        if promised is not None and (answer.width, answer.height) != promised:
            width, height = promised
            raise Broken(f"{answer.width}x{answer.height} came back, {width}x{height} was promised")


@rule(
    "pictures",
    "Black, white, noise and a single bright pixel are pictures like any other.",
    "Cameras start with black frames, and lenses get covered.",
    needs="frames",
)
async def check_pictures(bench: Bench) -> str:
    """Push each extreme picture twice."""
    rig = await bench.main()
    shown = extremes(*rig.size)
    for name, picture in shown.items():
        try:
            answers = await rig.push([picture, picture])
        except Broken as broken:
            raise Broken(f"{name}: {broken.measured}", broken.detail) from None
        if bench.is_frame_pipeline and len(answers) < 2:
            raise Broken(f"{name} was not answered")
    return ", ".join(shown)


@rule(
    "sizes",
    "It works at every size that its parameters take, and gives the size that it promises.",
    "Viewers turn their phones, and operators choose sizes by what their GPU can do.",
    needs="frames",
)
async def check_sizes(bench: Bench) -> str:
    """Set several sizes and push frames of them."""
    rig = await bench.main()
    done, refused = [], []
    for width, height in _ODD_SIZES if bench.options.quick else (*_ODD_SIZES, *_LARGE_SIZES):
        name = f"{width}x{height}"
        try:
            applied = await rig.update({**bench.initial, "width": width, "height": height})
            answers = await rig.push(moving(width, height, 3))
            require_size([a for a in answers if a.seq >= applied.from_seq], applied.output_size)
        except ParamsRejected:
            refused.append(name)
            continue
        except Broken as broken:
            raise Broken(f"{name}: {broken.measured}", broken.detail) from None
        if bench.is_frame_pipeline and len(answers) < 3:
            raise Broken(f"{name}: {len(answers)} of 3 frames were answered")
        done.append(name)
    if not done:
        raise Skipped(f"it refuses all of {', '.join(refused)}")
    return ", ".join(done) + (f"; refused: {', '.join(refused)}" if refused else "")


@rule(
    "strange-frames",
    "A frame of a size that it does not expect costs one frame at most.",
    "Around a change of size, frames of the old one are still on their way. An exception is fine: it is reported.",
    needs="frames",
)
async def check_strange_frames(bench: Bench) -> str:
    """Push frames of sizes that no parameter asked for, then ordinary ones."""
    rig = await bench.main()
    reports = len(rig.reports)
    strange = [still(width, height) for width, height in _STRANGE_SIZES]
    answers = await rig.push(strange, quiet=False)
    missing = len(strange) - len(answers)
    if bench.is_frame_pipeline and missing and len(rig.reports) == reports:
        raise Broken(f"{missing} of {len(strange)} frames vanished without a report")
    count = bench.options.frames
    after = await rig.push(moving(*rig.size, count), quiet=False)
    if not after or (bench.is_frame_pipeline and len(after) < count):
        raise Broken(f"after them, {len(after)} of {count} ordinary frames were answered")
    return f"{len(answers)} answers to {len(strange)} frames, and ordinary ones are answered after them"
