"""Which pipeline is served when none is named, and when a figure still counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from ai_runner_base.catalog import CondaPackage, InstalledPipeline
from ai_runner_base.cli import _speeds
from ai_runner_base.cli._orchestrators import measured_cost
from ai_runner_base.cli._preference import ENOUGH_FPS, Preference
from ai_runner_base.cli._speeds import Speeds
from ai_runner_base.conformance import Speed
from ai_runner_base.errors import PipelineError

pytestmark = pytest.mark.unit

FAST, SLOW = Speed(24.0, 640, 480, 41.0, 55.0), Speed(9.0, 640, 480, 110.0, 130.0)


def installed(name: str, build: str = "h0_0") -> InstalledPipeline:
    conda = CondaPackage(f"ai-runner-{name}", "0.1.0", build, "here")
    return InstalledPipeline(name, f"{name}:P", f"ai-runner-{name}", "0.1.0", Path("/env"), "env", conda)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> dict[str, Speed]:
    """Figures that measuring finds, by name; a name that is missing fails."""
    found: dict[str, Speed] = {}

    async def measure(spec: InstalledPipeline) -> Speed:
        if spec.name not in found:
            raise PipelineError(f"{spec.name} does not load")
        return found[spec.name]

    monkeypatch.setattr(_speeds, "measure_speed", measure)
    monkeypatch.setattr(_speeds, "worker_spec", lambda item, folder: item)
    return found


def preference(folder: Path, *names: str) -> Preference:
    return Preference(tuple(installed(name) for name in names), Speeds(folder))


async def test_the_first_that_is_fast_enough(tmp_path: Path, measurements: dict[str, Speed]) -> None:
    measurements |= {"a": SLOW, "b": replace(FAST, fps=ENOUGH_FPS)}
    lines: list[str] = []
    wanted = preference(tmp_path, "a", "b", "c", "d")
    assert wanted.known() is None
    assert (await wanted.find(lines.append)).name == "b"
    assert wanted.known() == installed("b")
    assert [line.split(":")[0] for line in lines if "measuring" not in line] == ["a", "b"]


async def test_the_last_one_is_taken_unmeasured(tmp_path: Path, measurements: dict[str, Speed]) -> None:
    measurements["a"] = SLOW
    assert (await preference(tmp_path, "a", "b").find(lambda line: None)).name == "b"
    assert preference(tmp_path, "b").known() == installed("b")


async def test_what_cannot_be_measured_is_left_out_and_tried_again(
    tmp_path: Path, measurements: dict[str, Speed]
) -> None:
    assert (await preference(tmp_path, "a", "b").find(lambda line: None)).name == "b"
    measurements["a"] = FAST
    assert (await preference(tmp_path, "a", "b").find(lambda line: None)).name == "a"


async def test_an_upgrade_or_another_host_makes_a_figure_void(
    tmp_path: Path, measurements: dict[str, Speed], monkeypatch: pytest.MonkeyPatch
) -> None:
    measurements["a"] = FAST
    await Speeds(tmp_path).measure(installed("a"))
    assert Speeds(tmp_path).of(installed("a")) == FAST
    assert Speeds(tmp_path).of(installed("a", "h1_0")) is None
    monkeypatch.setattr(_speeds, "_host", lambda: "another")
    assert Speeds(tmp_path).of(installed("a")) is None


async def test_too_slow_is_asked_again_after_a_week(
    tmp_path: Path, measurements: dict[str, Speed], monkeypatch: pytest.MonkeyPatch
) -> None:
    measurements |= {"a": SLOW, "b": FAST}
    for name in measurements:
        await Speeds(tmp_path).measure(installed(name))
    monkeypatch.setattr(Speeds, "age_s", lambda self, item: 8 * 86_400.0)
    assert preference(tmp_path, "a", "c").known() is None
    assert preference(tmp_path, "b", "c").known() == installed("b")


async def test_too_slow_on_a_busy_host_is_asked_again_at_the_next_start(
    tmp_path: Path, measurements: dict[str, Speed]
) -> None:
    measurements |= {"a": replace(SLOW, others=0.6), "b": replace(FAST, others=0.6)}
    lines: list[str] = []
    assert (await preference(tmp_path, "a", "c").find(lines.append)).name == "c"
    assert lines[-1].endswith("c instead (others use 60% of the processors; asked again next time)")
    assert preference(tmp_path, "a", "c").known() is None
    await preference(tmp_path, "b", "c").find(lines.append)
    assert preference(tmp_path, "b", "c").known() == installed("b")


def test_a_damaged_file_is_no_figure(tmp_path: Path, measurements: dict[str, Speed]) -> None:
    measurements["a"] = FAST
    asyncio.run(Speeds(tmp_path).measure(installed("a")))
    (file,) = tmp_path.iterdir()
    for content in ("", "{}", '{"key": 1}', "[]", "null"):
        file.write_text(content)
        assert Speeds(tmp_path).of(installed("a")) is None


async def test_a_folder_that_cannot_be_written_costs_the_figure_and_nothing_else(
    tmp_path: Path, measurements: dict[str, Speed], caplog: pytest.LogCaptureFixture
) -> None:
    measurements["a"] = FAST
    (tmp_path / "file").touch()
    assert await Speeds(tmp_path / "file").measure(installed("a")) == FAST
    assert "cannot be kept" in caplog.text


async def test_orchestrators_are_told_the_figure(tmp_path: Path, measurements: dict[str, Speed]) -> None:
    assert measured_cost(installed("a"), Speeds(tmp_path)) is None
    measurements["a"] = FAST
    await Speeds(tmp_path).measure(installed("a"))
    told = measured_cost(installed("a"), Speeds(tmp_path))
    assert told == {"p50": 41.0, "p95": 55.0, "size": "640x480"}
