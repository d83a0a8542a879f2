"""The options of `ai-runner serve` for orchestrators."""

from __future__ import annotations

import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ai_runner_base.catalog import CondaPackage, InstalledPipeline
from ai_runner_base.cli._orchestrators import (
    OrchestratorOptions,
    environment_digest,
    installed_facts,
    orchestrator_options,
    own_url,
    read_orchestrators,
)
from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.orchestrator import Price
from ai_runner_base.trickle import TlsPolicy

pytestmark = pytest.mark.unit

PIN = "ab" * 32


def read(*arguments: str, env: dict[str, str] | None = None) -> OrchestratorOptions | None:
    got: list[OrchestratorOptions | None] = []

    @click.command()
    @orchestrator_options
    def command(**flags: Any) -> None:
        got.append(read_orchestrators(flags | {"tls": TlsPolicy.verify()}))

    result = CliRunner().invoke(command, arguments, env=env or {})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        raise click.UsageError(result.output)
    return got[0]


def test_it_is_off_by_default() -> None:
    assert read() is None


def test_a_secret_alone_is_off_too_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert read(env={"ORCH_SECRET": "s3"}) is None
    assert "no --orchestrator" in caplog.text
    assert "s3" not in caplog.text


def test_one_secret_and_one_policy_serve_all() -> None:
    options = read(
        "--orchestrator", "https://a:1/", "--orchestrator", "https://b:2", "--orchestrator-secret", "x"
    )
    assert options is not None
    assert options.urls == ("https://a:1", "https://b:2")
    assert options.secrets == ("x", "x")
    assert options.tls == (TlsPolicy.verify(),) * 2
    assert "'x'" not in repr(options)


def test_each_may_have_its_own_from_the_environment_too(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    options = read(
        env={
            "AI_RUNNER_ORCHESTRATORS": "https://a:1 https://b:2",
            "ORCH_SECRET": f"{secret} inline",
            "AI_RUNNER_ORCHESTRATOR_TLS": f"{PIN} insecure",
            "AI_RUNNER_PRICE": "3.5 noop=1e-3",
            "AI_RUNNER_PRICE_UNIT": "720p",
            "AI_RUNNER_URL": "http://runner:8000/",
        }
    )
    assert options is not None
    assert options.secrets == ("from-a-file", "inline")
    assert options.tls == (TlsPolicy.pinned(PIN), TlsPolicy.insecure())
    assert options.prices == {"": Price(Decimal("3.5"), "720p"), "noop": Price(Decimal("0.001"), "720p")}
    assert options.runner_url == "http://runner:8000"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--orchestrator", "a:1"),
        ("--orchestrator", "https://a", "--orchestrator-secret", "x", "--orchestrator-secret", "y"),
        ("--orchestrator", "https://a", "--orchestrator", "https://a/"),
        ("--orchestrator", "https://a", "--price", "0"),
        ("--orchestrator", "https://a", "--price", "cheap"),
        ("--orchestrator", "https://a", "--orchestrator-tls", "sometimes"),
        ("--orchestrator", "https://a", "--orchestrator-secret", "two\nlines"),
        ("--orchestrator", "https://a", "--orchestrator-secret", " "),
        ("--orchestrator", "https://a", "--runner-url", "runner:8000"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises((CallerError, click.UsageError)):
        read(*arguments)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("runner.local", "http://runner.local:8000"),
        ("::1", "http://[::1]:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
    ],
)
def test_our_own_address_is_the_one_that_faces_the_orchestrator(host: str, expected: str) -> None:
    assert own_url("http://127.0.0.1:8935", host, 8000) == expected


def test_an_orchestrator_whose_name_is_unknown_is_a_host_error() -> None:
    with pytest.raises(HostError, match="no way to"):
        own_url("http://no-such-host.invalid:8935", "0.0.0.0", 8000)


def test_facts_are_those_of_the_installed_package(tmp_path: Path) -> None:
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    for name in ("numpy-2.0-py311", "my-pipeline-1.2-py_0"):
        (meta / f"{name}.json").write_text("{}")
    item = InstalledPipeline(
        "p",
        "m:C",
        "dist",
        "9.9",
        tmp_path,
        "env",
        CondaPackage("my-pipeline", "1.2", "py_0", "https://channel"),
    )
    facts = installed_facts(item)
    assert (facts["package"], facts["version"], facts["build"]) == ("my-pipeline", "1.2", "py_0")
    assert facts["environment"] == environment_digest(tmp_path)
    before = environment_digest(tmp_path)
    (meta / "numpy-2.0-py311.json").rename(meta / "numpy-2.1-py311.json")
    assert environment_digest(tmp_path) != before


def test_an_environment_without_conda_has_no_digest(tmp_path: Path) -> None:
    assert environment_digest(tmp_path) is None
    facts = installed_facts(InstalledPipeline("p", "m:C", "dist", "9.9", tmp_path, "env"))
    assert (facts["package"], facts["version"], facts["build"]) == ("dist", "9.9", None)


def test_logging_of_a_warning_needs_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        read("--orchestrator", "http://a:1", "--orchestrator-secret", "hidden-77")
    assert "hidden-77" not in caplog.text
