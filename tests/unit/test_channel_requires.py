"""Requirements: markers of the target, extras of others, and what conda cannot express."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from packaging.requirements import Requirement

from ai_runner_base.channel import HostPython
from ai_runner_base.channel.requires import Dependencies, dependencies
from ai_runner_base.errors import HostError

pytestmark = pytest.mark.unit

TARGET = {**HostPython.current().markers, "python_version": "3.12", "python_full_version": "3.12.4"}
OTHERS = {
    "uvicorn": ["click>=7", 'httptools>=0.6; extra == "standard"', 'uvloop; extra == "standard"'],
    "chain": ['uvicorn[standard]>=0.2; extra == "all"', 'chain[all]; extra == "more"'],
}


def translate(*lines: str, project: str = "sample") -> Dependencies:
    def requirements_of(name: str) -> Sequence[Requirement]:
        return [Requirement(line) for line in OTHERS[name]]

    return dependencies(project, [Requirement(line) for line in lines], TARGET, requirements_of)


def test_names_and_versions_are_condas() -> None:
    found = translate("torch<3,>=2.6", "typing_extensions")
    assert found == Dependencies(("pytorch >=2.6,<3dev0", "typing_extensions"), python_bound=False)


def test_markers_are_the_targets_not_the_running_interpreters() -> None:
    assert translate('tomli; python_version < "3.12"').specs == ()
    assert translate('tomli; python_full_version >= "3.12.4"').specs == ("tomli",)


def test_a_list_that_depends_on_pythons_version_says_so() -> None:
    assert translate('tomli; python_version < "3.12"').python_bound
    assert translate('extra-thing; python_version < "3.12" or sys_platform == "win32"').python_bound
    assert not translate('colorama; sys_platform == "win32"').python_bound


def test_a_marker_that_can_never_differ_binds_nothing() -> None:
    assert not translate('old; python_version < "3.8"').python_bound
    assert not translate('pytest; extra == "test" and python_version >= "3.10"').python_bound


def test_extras_of_the_project_itself_are_left_out() -> None:
    assert translate('pytest; extra == "test"', "click").specs == ("click",)


def test_an_extra_adds_what_it_adds() -> None:
    assert translate("uvicorn[standard]>=0.2").specs == ("httptools >=0.6", "uvicorn >=0.2", "uvloop")


def test_extras_of_extras_and_of_the_project_itself() -> None:
    assert translate("chain[more]").specs == ("chain", "httptools >=0.6", "uvicorn >=0.2", "uvloop")


def test_a_project_is_no_dependency_of_itself() -> None:
    assert translate("chain[all]", project="chain").specs == ("httptools >=0.6", "uvicorn >=0.2", "uvloop")


def test_a_direct_reference_is_refused_by_name() -> None:
    with pytest.raises(HostError, match=r"^sample requires thing @ https:") as caught:
        translate("thing @ https://example.invalid/thing-1.0.tar.gz")
    assert "direct references" in caught.value.message
