"""What is checked by changing parameters: values at the edges, NaN, and the frame at which a change begins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from ..supervisor import ParamsRejected
from ._bench import Bench, Scene
from ._outcomes import Broken, Skipped
from ._pictures import still
from ._rig import Answer, Rig
from ._rules import rule
from ._schema import edges, is_number, own_properties

_BEFORE, _AFTER = 4, 4
"""Frames pushed while the change is under way, and after it."""


@rule(
    "values",
    "Every parameter works at its lowest and highest value, with each choice, and with empty and long text.",
    "A slider's end is where people drag it first.",
    needs="frames",
)
async def check_values(bench: Bench) -> str:
    """Set each value alone, the others as they are initially, and push a still scene."""
    rig = await bench.main()
    bench.scenes = [_scene(bench.initial, await rig.push(_still(rig, bench.options.still_frames)))]
    wanted = list(_values(bench))
    deadline_s = time.monotonic() + bench.options.values_s
    tried = refused = 0
    for name, value in wanted:
        if time.monotonic() > deadline_s:
            break
        tried += 1
        try:
            await _try_value(bench, rig, {**bench.initial, name: value})
        except ParamsRejected:
            refused += 1
        except Broken as broken:
            shown = repr(value) if len(repr(value)) < 40 else f"{repr(value)[:36]}..."
            raise Broken(f"{name} = {shown}: {broken.measured}", broken.detail) from None
    if not wanted:
        raise Skipped("there are no parameters of its own with edges")
    return f"{tried} of {len(wanted)} values" + (f", {refused} refused beside the others" if refused else "")


def _values(bench: Bench) -> Iterator[tuple[str, Any]]:
    for name, prop in own_properties(bench.description["params_schema"]).items():
        for value in edges(prop):
            if value != bench.initial.get(name):
                yield name, value


async def _try_value(bench: Bench, rig: Rig, params: dict[str, Any]) -> None:
    applied = await rig.update(params)
    count = bench.options.still_frames
    answers = await rig.push(_still(rig, count))
    if bench.is_frame_pipeline and len(answers) < count:
        raise Broken(f"{len(answers)} of {count} frames were answered")
    bench.scenes.append(_scene(dict(applied.params), answers))


def _still(rig: Rig, count: int) -> Iterator[Any]:
    picture = still(*rig.size)
    return (picture for _ in range(count))


def _scene(params: dict[str, Any], answers: list[Answer]) -> Scene:
    """The last picture, if it is the same as the one before; else no digest."""
    last = [answer.digest for answer in answers[-2:]]
    return Scene(params, last[-1] if len(set(last)) == 1 and len(last) == 2 else b"")


@rule(
    "not-numbers",
    "NaN and infinity are refused as parameters.",
    "They pass every comparison with a limit, and one of them in a pipeline's memory turns all pictures black.",
    needs="load",
)
async def check_not_numbers(bench: Bench) -> str:
    """Try them on every parameter that takes floats. JSON has no NaN; pydantic reads the words."""
    rig = await bench.main()
    properties = own_properties(bench.description["params_schema"])
    names = [name for name, prop in properties.items() if is_number(prop)]
    if not names:
        raise Skipped("no parameter takes floats")
    for name in names:
        for word in ("nan", "inf", "-inf"):
            try:
                await rig.update({**bench.initial, name: word})
            except ParamsRejected:
                continue
            raise Broken(f"{name} = {word} is accepted")
    return f"refused by {len(names)} parameters"


@rule(
    "change",
    "A change of parameters holds from exactly the frame that the runner was told.",
    "What is recorded, tested or switched in time with the sound relies on it.",
    needs="values",
)
async def check_change(bench: Bench) -> str:
    """Change back and forth between two looks while frames are under way, and compare every output."""
    one, other = _two_looks(bench)
    rig = await bench.main()
    await rig.update(one.params)
    await rig.push(_still(rig, bench.options.still_frames))
    compared = 0
    for index in range(bench.options.changes):
        old, new = (one, other) if index % 2 == 0 else (other, one)
        compared += await _change(bench, rig, old, new)
    if not compared:
        raise Skipped("no output could be told apart")
    return f"{bench.options.changes} changes, {compared} outputs compared"


def _two_looks(bench: Bench) -> tuple[Scene, Scene]:
    """Two steady scenes that differ, and differ in live parameters only."""
    properties = own_properties(bench.description["params_schema"])
    reloads = {name for name, prop in properties.items() if not prop.get("x-live", True)}
    steady = [scene for scene in bench.scenes if scene.digest]
    for index, one in enumerate(steady):
        for other in steady[index + 1 :]:
            changed = {name for name in one.params if one.params[name] != other.params.get(name)}
            if one.digest != other.digest and not changed & reloads:
                return one, other
    raise Skipped("no live parameter changes a still scene for good")


async def _change(bench: Bench, rig: Rig, old: Scene, new: Scene) -> int:
    """Make one change with frames around it.

    :returns: how many outputs looked like one of the two
    """
    first = len(rig.answers)
    async with asyncio.TaskGroup() as group:
        pushing = group.create_task(rig.push(_still(rig, _BEFORE)))
        await asyncio.sleep(0)
        applied = await rig.update(new.params)
        await pushing
    await rig.push(_still(rig, _AFTER))
    compared = 0
    for answer in rig.answers[first:]:
        compared += answer.digest in (old.digest, new.digest)
        if answer.seq >= applied.from_seq and answer.digest == old.digest:
            late = answer.seq - applied.from_seq
            raise Broken(f"the old look {late} frames after the change was to hold")
        if bench.is_frame_pipeline and 0 < answer.seq < applied.from_seq and answer.digest == new.digest:
            raise Broken(f"the new look {applied.from_seq - answer.seq} frames too early")
    return compared
