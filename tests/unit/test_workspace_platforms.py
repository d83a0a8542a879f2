"""Which platform a host is, and what is said when it is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests._support.manifests import CPU, GPU, manifest

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.workspace import Host, find_environment, pick_platform, supported_platforms
from ai_runner_base.workspace._platforms import numbers, solver_packages

pytestmark = pytest.mark.unit

FEATURES = """
[feature.gpu]
platforms = ["linux-64-cuda"]
[feature.plain]
platforms = ["linux-64"]
[feature.shared.dependencies]
x = "*"
[environments]
gpu = ["gpu", "shared"]
plain = ["plain"]
near = ["shared"]
"""


def _pick(tmp_path: Path, environment: str, host: Host) -> str:
    found = manifest(tmp_path, FEATURES)
    return pick_platform(found, find_environment(found, environment), host).name


@pytest.mark.parametrize(
    ("environment", "host", "platform"),
    [
        ("default", CPU, "linux-64"),
        ("default", GPU, "linux-64-cuda"),
        ("default", Host("linux-64", {"__cuda": "12.10"}), "linux-64-cuda"),
        ("default", Host("linux-64", {"__cuda": "12.6"}), "linux-64"),
        ("gpu", GPU, "linux-64-cuda"),
        ("plain", GPU, "linux-64"),
    ],
)
def test_the_first_platform_that_the_host_provides_is_taken(
    tmp_path: Path, environment: str, host: Host, platform: str
) -> None:
    assert _pick(tmp_path, environment, host) == platform


def test_a_host_without_cuda_is_told_what_is_missing_and_what_runs(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        _pick(tmp_path, "gpu", CPU)
    assert caught.value.message == (
        "environment gpu needs __cuda >=12.8 (platform linux-64-cuda), this host has no __cuda"
    )
    assert caught.value.hint == "the nearest environment that runs here: -e near"


def test_a_host_with_an_old_driver_is_told_its_version(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"needs __cuda >=12\.8 .*, this host has __cuda 12\.6"):
        _pick(tmp_path, "gpu", Host("linux-64", {"__cuda": "12.6"}))


def test_another_kind_of_machine_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        CallerError, match=r"runs on linux-64-cuda, linux-64, this machine is osx-arm64"
    ) as caught:
        _pick(tmp_path, "default", Host("osx-arm64"))
    assert caught.value.hint == "no environment of this manifest runs on this host"


def test_features_that_exclude_each_other_leave_no_platform(tmp_path: Path) -> None:
    head = '[workspace]\nchannels = ["c"]\nplatforms = ["linux-64", "osx-64"]\n'
    text = '[feature.a]\nplatforms = ["linux-64"]\n[feature.b]\nplatforms = ["osx-64"]\n'
    found = manifest(tmp_path, text + '[environments]\nboth = ["a", "b"]\n', head=head)
    assert supported_platforms(found, found.environments["both"]) == ()
    with pytest.raises(CallerError, match="environment both runs on no platform"):
        pick_platform(found, found.environments["both"], CPU)


def test_a_bare_subdir_means_all_its_platforms(tmp_path: Path) -> None:
    head = (
        '[workspace]\nchannels = ["c"]\nplatforms = [\n'
        '  { name = "new", platform = "linux-64", cuda = "12.8" },\n'
        '  { name = "old", platform = "linux-64", glibc = "2.17" },\n]\n'
    )
    text = '[feature.a]\nplatforms = ["linux-64"]\n[feature.b]\nplatforms = ["old"]\n'
    found = manifest(tmp_path, text + '[environments]\na = ["a"]\nb = ["a", "b"]\n', head=head)
    assert [p.name for p in supported_platforms(found, found.environments["a"])] == ["new", "old"]
    assert [p.name for p in supported_platforms(found, found.environments["b"])] == ["old"]


def test_the_solver_sees_cuda_as_declared_and_only_where_it_is(tmp_path: Path) -> None:
    rich, plain = manifest(tmp_path).platforms
    assert solver_packages(rich, GPU)["__cuda"] == "12.8"
    assert "__cuda" not in solver_packages(plain, GPU)
    assert solver_packages(plain, GPU)["__glibc"] == "2.36"


def test_versions_are_ordered_as_numbers() -> None:
    assert numbers("12.10") > numbers("12.8")
    assert numbers("12") == numbers("12.0") == numbers("12.0.0")
    assert numbers("6.1.0-13") < numbers("6.2")
