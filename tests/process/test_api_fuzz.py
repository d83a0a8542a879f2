"""The published description drives a fuzzer: no answer that it does not document, no 500 but for capacity."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

EXAMPLES = 30
CAPACITY = "insufficient capacity"
TOKEN = "t0ken"
EXPECTED = [not_a_server_error, positive_data_acceptance]
"""A full runner answers 500, and 400 is for what only the pipeline can judge."""
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "ai_runner_base",
        "serve",
        "--pipeline",
        "noop",
        "--port",
        "0",
        "--auth-token",
        TOKEN,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            welcome = process.stdout.readline()
            yield next(word.rstrip("/") for word in welcome.split() if word.startswith("http://"))
        finally:
            process.terminate()
    assert process.returncode == 0


def test_no_request_gets_an_answer_that_is_not_documented(address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    fuzzed = []
    for found in schema.get_all_operations():
        operation = found.ok()
        _fuzz(operation, address)
        fuzzed.append(operation.label)
    assert {"GET /health", "POST /live-video-to-video", "PATCH /streams/{id}/params"} <= set(fuzzed)
    health = schema["/health"]["GET"].Case().call(base_url=address).json()
    assert health["status"] in {"IDLE", "OK", "LOADING"}


def _fuzz(operation: schemathesis.schemas.APIOperation, address: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        response = case.call(base_url=address, headers=RIGHT)
        assert response.status_code < 500 or (response.status_code == 500 and CAPACITY in response.text)
        case.validate_response(response, excluded_checks=EXPECTED)

    check()
