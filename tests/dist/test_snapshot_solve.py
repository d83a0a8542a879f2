"""Every environment of pixi.toml solved against real records of conda-forge, with and without a CUDA driver.

The records are a snapshot of the channel's index that is not part of this repository: the folder that
``AI_RUNNER_CONDA_SNAPSHOT`` names, or ``../shared/conda-forge-snapshot``. In-repo packages take part with what
their rendered recipes require.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from rattler import RepoDataRecord
from tests._support.workspaces import FakeVariant

from ai_runner_base.authoring import Answers, create
from ai_runner_base.channel import ChannelProvider
from ai_runner_base.errors import HostError
from ai_runner_base.workspace import EnvironmentPlan, Host, Manifest, Variant, read_manifest, resolve, solve

pytestmark = pytest.mark.dist

REPOSITORY = Path(__file__).parents[2]
SNAPSHOT = Path(
    os.environ.get("AI_RUNNER_CONDA_SNAPSHOT", REPOSITORY.parent / "shared" / "conda-forge-snapshot")
)
MANIFEST = read_manifest(REPOSITORY / "pixi.toml")
needs_snapshot = pytest.mark.skipif(
    not (SNAPSHOT / "noarch" / "repodata.json").exists(), reason=f"no snapshot of conda-forge in {SNAPSHOT}"
)

_SYSTEM = {"__unix": "0", "__linux": "5.10", "__glibc": "2.28", "__archspec": "1"}
HOSTS = {
    "cpu": Host("linux-64", _SYSTEM, "x86_64_v3"),
    "cuda 12.6": Host("linux-64", {**_SYSTEM, "__cuda": "12.6"}, "x86_64_v3"),
    "cuda 12.8": Host("linux-64", {**_SYSTEM, "__cuda": "12.8"}, "x86_64_v3"),
    "cuda 13.0": Host("linux-64", {**_SYSTEM, "__cuda": "13.0"}, "x86_64_v3"),
}
TOLD = (
    "python",
    "ai-runner-base",
    "av",
    "ffmpeg",
    "numpy",
    "py-opencv",
    "pytorch",
    "cuda-version",
    "cupy",
    "pytest",
    "mypy",
    "py-rattler",
)


_AIORTC = ("aioice >=0.12,<1", "google-crc32c >=1.1", "pyee >=13", "pylibsrtp >=0.10")
# import-linter, the tests, WebRTC, StreamDiffusion, scope and ComfyUI need these, but the snapshot leaves them out.
NOT_IN_SNAPSHOT = (
    FakeVariant("grimp", ("python",), version="3.14"),
    FakeVariant("schemathesis", ("python", "hypothesis"), version="4.32"),
    FakeVariant(
        "aiortc", ("python", "av >=14,<20", "cryptography >=44", "pyopenssl >=25", *_AIORTC), version="1.16.0"
    ),
    FakeVariant("aioice", ("python", "dnspython >=2", "ifaddr >=0.2"), version="0.13.0"),
    FakeVariant("flash-attn", ("python", "einops", "pytorch >=2.6"), version="2.8.3"),
    FakeVariant("ftfy", ("python", "wcwidth"), version="6.3.1"),
    FakeVariant("ifaddr", ("python",), version="0.2.0"),
    FakeVariant("kornia", ("python", "packaging", "pytorch >=2"), version="0.8.1"),
    FakeVariant("peft", ("python", "accelerate >=0.21", "pytorch >=1.13", "transformers"), version="0.18.1"),
    FakeVariant("pylibsrtp", ("python", "cffi >=1"), version="1.0.0"),
    FakeVariant("torchao", ("python", "pytorch >=2.6"), version="0.13.0"),
    FakeVariant("torchaudio", ("python", "pytorch >=2.6"), version="2.9.1"),
    FakeVariant("torchsde", ("python", "numpy", "pytorch >=1.6", "scipy >=1.5"), version="0.2.6"),
)


@pytest.fixture(scope="module")
def in_repo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A channel whose index lists the in-repo packages as their recipes describe them."""
    provider = ChannelProvider(tmp_path_factory.mktemp("work"))
    plans = [resolve(MANIFEST, name, HOSTS["cuda 12.8"]) for name in MANIFEST.environments]
    rendered = {
        (variant.name, variant.build): variant for plan in plans for variant in provider.variants(plan.source)
    }
    return _write_index(tmp_path_factory.mktemp("in-repo"), rendered.values())


@pytest.fixture(scope="module")
def supplement(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A channel of stand-ins for what the snapshot does not have at all."""
    for subdir in ("noarch", "linux-64"):
        packages = json.loads((SNAPSHOT / subdir / "repodata.json").read_text())["packages.conda"]
        there = {record["name"] for record in packages.values()}
        assert not there & {variant.name for variant in NOT_IN_SNAPSHOT}
    return _write_index(tmp_path_factory.mktemp("supplement"), NOT_IN_SNAPSHOT)


def _write_index(channel: Path, variants: Iterable[Variant]) -> str:
    for subdir, records in (("noarch", _records(variants)), ("linux-64", {})):
        (channel / subdir).mkdir(parents=True)
        index = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": records}
        (channel / subdir / "repodata.json").write_text(json.dumps(index))
    return channel.as_uri()


def _records(variants: Iterable[Variant]) -> dict[str, object]:
    return {
        f"{variant.name}-{variant.version}-{variant.build}.conda": {
            "name": variant.name,
            "version": variant.version,
            "build": variant.build,
            "build_number": int(variant.build.rpartition("_")[2]),
            "depends": list(variant.depends),
            "constrains": list(variant.constrains),
            "subdir": "noarch",
            "noarch": "python",
            "sha256": "0" * 64,
            "timestamp": 1_700_000_000_000,
        }
        for variant in variants
    }


@pytest.fixture
def channels(in_repo: str, supplement: str) -> list[str]:
    """In order of priority."""
    return [in_repo, SNAPSHOT.as_uri(), supplement]


def _solve(
    environment: str, host: str, channels: list[str], manifest: Manifest = MANIFEST
) -> tuple[EnvironmentPlan, dict[str, RepoDataRecord]]:
    plan = resolve(manifest, environment, HOSTS[host])
    records = asyncio.run(solve(plan, channels))
    found = {record.name.normalized: record for record in records}
    told = ", ".join(f"{name} {found[name].version} {found[name].build}" for name in TOLD if name in found)
    print(f"{environment} on {host} ({plan.platform.name}): {len(found)} packages; {told}")
    return plan, found


@needs_snapshot
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("environment", MANIFEST.environments)
def test_every_environment_solves_on_every_host(environment: str, host: str, channels: list[str]) -> None:
    has_driver = host in ("cuda 12.8", "cuda 13.0")
    if environment == "cuda" and not has_driver:
        with pytest.raises(HostError, match=r"cuda .*12\.8"):
            resolve(MANIFEST, environment, HOSTS[host])
        return
    plan, found = _solve(environment, host, channels)
    assert plan.platform.name == ("linux-64-cuda" if has_driver else "linux-64")
    assert {spec.split()[0] for spec in plan.specs} <= set(found)
    assert (3, 11) <= tuple(map(int, str(found["python"].version).split(".")[:2])) < (3, 14)
    assert all(record.channel != channels[0] or name in plan.recipes for name, record in found.items())
    if not has_driver:
        assert not [name for name in found if name.startswith(("cuda-", "libcublas", "libcudnn"))]


@needs_snapshot
@pytest.mark.parametrize(
    ("host", "build"), [("cpu", "cpu"), ("cuda 12.6", "cpu"), ("cuda 12.8", "cuda"), ("cuda 13.0", "cuda")]
)
def test_the_same_environment_gets_cuda_builds_where_there_is_a_driver(
    host: str, build: str, channels: list[str]
) -> None:
    _, found = _solve("torch", host, channels)
    assert str(found["pytorch"].build).startswith(build)
    version = str(found["cuda-version"].version) if "cuda-version" in found else None
    assert (version is not None and version.startswith("12.")) == (build == "cuda")


@needs_snapshot
@pytest.mark.parametrize(
    ("host", "build"), [("cpu", "cpu"), ("cuda 12.6", "cpu"), ("cuda 12.8", "cuda"), ("cuda 13.0", "cuda")]
)
def test_streamdiffusion_takes_the_variant_of_its_recipe_that_the_driver_allows(
    host: str, build: str, channels: list[str]
) -> None:
    _, found = _solve("streamdiffusion", host, channels)
    assert str(found["ai-runner-streamdiffusion"].build).startswith(build)
    assert str(found["pytorch"].build).startswith(build)
    assert "diffusers" in found


@needs_snapshot
@pytest.mark.parametrize("host", ["cuda 12.8", "cuda 13.0"])
def test_cupy_comes_for_a_cuda_version_that_the_driver_runs(host: str, channels: list[str]) -> None:
    _, found = _solve("cuda", host, channels)
    major, minor = map(int, str(found["cuda-version"].version).split(".")[:2])
    assert (12, 8) <= (major, minor)
    assert major <= int(host.removeprefix("cuda ").split(".")[0])
    assert "cupy" in found
    assert "pytorch" not in found


@needs_snapshot
def test_the_runner_itself_brings_neither_torch_nor_cuda(channels: list[str]) -> None:
    for host in HOSTS:
        _, found = _solve("default", host, channels)
        assert {"pytorch", "cuda-version", "cuda-cudart"}.isdisjoint(found)


@needs_snapshot
@pytest.mark.parametrize("environment", ["default", "test", "build"])
@pytest.mark.parametrize("cuda", [False, True], ids=["plain", "with cuda"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_repository_of_ai_runner_new_solves_on_every_host(
    host: str, cuda: bool, environment: str, channels: list[str], tmp_path: Path
) -> None:
    create(tmp_path / "soft-focus", Answers("soft-focus", ["livepeer", "conda-forge"], cuda=cuda))
    manifest = read_manifest(tmp_path / "soft-focus" / "pixi.toml")
    plan = resolve(manifest, "default", HOSTS[host])
    own = _write_index(tmp_path / "own", ChannelProvider(tmp_path / "work").variants(plan.source))
    _, found = _solve(environment, host, [own, *channels], manifest)
    assert "ai-runner-base" in found
    if environment == "build":
        assert {"pytorch", "soft-focus"}.isdisjoint(found)
        return
    wants_gpu = cuda and host in ("cuda 12.8", "cuda 13.0")
    assert ("pytorch" in found) is cuda
    assert [name for name in found if name.startswith("libcublas")] == (["libcublas"] if wants_gpu else [])
    if cuda:
        device = "cuda128" if wants_gpu else "cpu"
        assert str(found["soft-focus"].build).startswith(f"{device}_")
        assert str(found["pytorch"].build).startswith(device[:3])
