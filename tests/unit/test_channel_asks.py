"""What a mirror is asked for, in both worlds' terms, and what it must refuse."""

from __future__ import annotations

import pytest

from ai_runner_base.channel import HostPython, Want
from ai_runner_base.channel._asks import constraint_lines, strict, translate, who_wants
from ai_runner_base.errors import CallerError, HostError

pytestmark = pytest.mark.unit

PYTHON = HostPython.current()


def test_a_spec_becomes_a_requirement_and_a_strict_spec() -> None:
    asks = {ask.conda: ask.requirement for ask in translate([Want("py-opencv >=4.9,<6")], PYTHON)[""]}
    assert asks["py-opencv >=4.9,<6"] == "opencv-python-headless<6,>=4.9"


def test_python_and_pip_are_always_there() -> None:
    asks = translate([Want("click"), Want("hatchling", group="build x")], PYTHON)
    assert {group: {ask.name for ask in several} for group, several in asks.items()} == {
        "": {"click", "python", "pip"},
        "build x": {"hatchling", "python", "pip"},
    }


def test_a_fuzzy_version_becomes_a_strict_one_and_a_channel_is_dropped() -> None:
    asks = {ask.conda for ask in translate([Want("conda-forge::numpy 2.0"), Want("click =8")], PYTHON)[""]}
    assert {"numpy ==2.0", "click 8.*"} <= asks


def test_an_alias_asks_for_its_target_and_may_bring_a_build() -> None:
    asks = {ask.alias: ask for ask in translate([Want("opencv >=4"), Want("pytorch-cpu")], PYTHON)[""]}
    assert (asks["opencv"].name, asks["opencv"].pypi) == ("py-opencv", "opencv-python-headless")
    assert (asks["pytorch-cpu"].name, asks["pytorch-cpu"].build) == ("pytorch", "cpu*")


def test_virtual_packages_are_not_asked_for() -> None:
    asks = translate([Want("__cuda >=12.8"), Want("__glibc >=2.17"), Want("click")], PYTHON)[""]
    assert not any(ask.name.startswith("__") for ask in asks)


def test_what_only_conda_has_is_refused_with_who_wants_it_and_the_ways_out() -> None:
    wants = [
        Want("click", ("environment studio",)),
        Want("ffmpeg >=8", ("environment studio", "recipe my-pipeline")),
        Want("cuda-version 12.8.*", ("environment studio",)),
    ]
    with pytest.raises(HostError) as caught:
        translate(wants, PYTHON)
    message = caught.value.message
    assert message.startswith(
        "2 packages of conda-forge cannot come from a Python index: cuda-version, ffmpeg"
    )
    assert "environment studio → recipe my-pipeline → ffmpeg >=8" in message
    assert "environment studio → cuda-version 12.8.*" in message
    assert "click" not in message
    for way_out in ("pixi", "conda-forge", "another environment", "channel.names"):
        assert way_out in caught.value.hint


def test_a_pypi_name_in_a_conda_spec_is_told_condas_name() -> None:
    with pytest.raises(HostError, match="the Python project torch is called pytorch there"):
        translate([Want("torch >=2")], PYTHON)


def test_another_python_than_the_hosts_is_refused() -> None:
    with pytest.raises(
        HostError, match=r"environment old → python 3\.9\.\*: the mirror's Python is this machine's"
    ):
        translate([Want("python 3.9.*", ("environment old",))], PYTHON)


def test_alternatives_are_fine_for_python_and_refused_for_others() -> None:
    assert translate([Want(f"python 3.9.*|{PYTHON.minor}.*")], PYTHON)
    with pytest.raises(CallerError, match="alternatives"):
        translate([Want("numpy 1.*|2.*")], PYTHON)


def test_constraints_are_said_to_pip_as_far_as_it_understands_them() -> None:
    given = [
        "numpy >=1.26,<3",
        "cuda-version >=12.8",
        "__cuda >=12",
        "python 3.11.*",
        "click 7.*|8.*",
        "rich",
    ]
    assert constraint_lines(given) == ["numpy<3,>=1.26"]


def test_the_solver_gets_constraints_in_strict_form() -> None:
    assert strict(["conda-forge::numpy 2", "pytorch >=2 cpu*", "rich"]) == [
        "numpy ==2",
        "pytorch >=2 cpu*",
        "rich *",
    ]


def test_who_wants_a_project_is_found_by_its_pypi_name() -> None:
    groups = translate([Want("py-opencv", ("environment a", "recipe b")), Want("click")], PYTHON)
    assert who_wants(groups, "opencv-python-headless") == "environment a → recipe b → py-opencv"
    assert who_wants(groups, "click") == ""
