"""Every rule of `ai-runner check` catches the pipeline that breaks it, and lets others pass."""

from __future__ import annotations

import http.server
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests._support.prefixes import PIPELINES, SamplePipeline, make_prefix

from ai_runner_base.catalog import Catalog
from ai_runner_base.conformance import RULES, CheckOptions, Outcome, Report, check
from ai_runner_base.errors import CallerError

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

FOLDER = PIPELINES / "bad_citizens"
CULPRITS = {
    "Bad_Name": ("bad_citizens:Citizen", "name"),
    "slow-import": ("bad_import:Slow", "import"),
    "vague": ("bad_citizens:Vague", "schema"),
    "moody": ("bad_citizens:Moody", "handshake"),
    "needs-network": ("bad_citizens:NeedsNetwork", "prepare"),
    "loiters": ("bad_citizens:Loiters", "load"),
    "shrinks": ("bad_citizens:Shrinks", "frames"),
    "own-time": ("bad_citizens:OwnTime", "frames"),
    "fears-the-dark": ("bad_citizens:FearsTheDark", "pictures"),
    "divides-by-contrast": ("bad_citizens:DividesByContrast", "finite"),
    "fixed-size": ("bad_citizens:FixedSize", "sizes"),
    "brittle": ("bad_citizens:Brittle", "strange-frames"),
    "sharp": ("bad_citizens:Sharp", "values"),
    "lax": ("bad_citizens:Lax", "not-numbers"),
    "late": ("bad_citizens:Late", "change"),
    "dawdles": ("bad_citizens:Dawdles", "live"),
    "chatty": ("bad_citizens:Chatty", "output"),
    "hoards": ("bad_citizens:Hoards", "memory"),
    "opens-files": ("bad_citizens:OpensFiles", "memory"),
    "selfish": ("bad_citizens:Selfish", "two-instances"),
    "tidies-up-only": ("bad_citizens:TidiesUpOnly", "restart"),
    "lingers": ("bad_citizens:Lingers", "stop"),
    "leaves-child": ("bad_citizens:LeavesChild", "stop"),
    "unstoppable": ("bad_citizens:Unstoppable", "cancel"),
}
SAID = {
    "needs-network": "offline, a second run failed",
    "shrinks": "256x256 came back, 512x512 was promised",
    "own-time": "inputs up to",
    "fears-the-dark": "black: it complained of a frame: ZeroDivisionError",
    "divides-by-contrast": "NaN or infinity for: black, white",
    "fixed-size": "64x64: it complained of a frame: ValueError: the engine was built for 512x512",
    "brittle": "exit code 139",
    "sharp": "radius = 0: it complained of a frame: ZeroDivisionError",
    "lax": "amount = nan is accepted",
    "late": "frames after the change was to hold",
    "opens-files": "more open files and threads",
    "selfish": "BlockingIOError",
    "lingers": "did not end within 2 s",
    "leaves-child": "processes left behind",
}
LIMITS = {"slow-import": {"import_limit_s": 1.0}, "loiters": {"load_limit_s": 2.0}}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = [SamplePipeline(name, entry, FOLDER) for name, (entry, _) in CULPRITS.items()]
    good = [SamplePipeline(name.lower(), f"bad_citizens:{name}", FOLDER) for name in ("Citizen", "Versatile")]
    return make_prefix(tmp_path_factory.mktemp("bad"), [*samples, *good])


@pytest.fixture(autouse=True)
def own_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Locks and marks of one test are not another's."""
    monkeypatch.setenv("BAD_CITIZENS_RUN", secrets.token_hex(4))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Something on the network, for whoever goes there without a proxy."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as httpd:
        httpd.RequestHandlerClass.do_GET = lambda self: (self.send_response(200), self.end_headers())  # type: ignore[attr-defined]  # made here
        httpd.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]  # quiet
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("BAD_CITIZENS_SERVER", f"http://127.0.0.1:{httpd.server_address[1]}/")
        yield
        httpd.shutdown()
        thread.join(5)


async def run(prefix: Path, name: str, *only: str, **limits: float) -> Report:
    installed = Catalog.scan([prefix]).find(name)
    return await check(installed, CheckOptions(quick=True, only=frozenset(only), **limits))  # type: ignore[arg-type]  # limits are floats


def broken(report: Report) -> dict[str, str]:
    return {f.name: f.measured for f in report.findings if f.outcome is Outcome.FAIL}


@pytest.mark.parametrize("name", CULPRITS)
@pytest.mark.usefixtures("server")
async def test_each_rule_catches_the_one_who_breaks_it_and_only_that(prefix: Path, name: str) -> None:
    rule = CULPRITS[name][1]
    found = broken(await run(prefix, name, rule, **LIMITS.get(name, {})))
    assert set(found) == {rule}, found
    assert SAID.get(name, "") in found[rule]


def test_every_rule_has_a_culprit() -> None:
    assert {rule for _, rule in CULPRITS.values()} == set(RULES)


@pytest.mark.parametrize("name", ["citizen", "versatile"])
async def test_a_good_citizen_passes_every_rule(prefix: Path, name: str) -> None:
    begun: list[str] = []
    installed = Catalog.scan([prefix]).find(name)
    report = await check(installed, CheckOptions(quick=True), on_begin=lambda rule: begun.append(rule.name))
    assert broken(report) == {}
    assert begun == list(RULES) == [finding.name for finding in report.findings]
    assert (report.pipeline, report.package, report.version) == (name, f"sample-{name}", "1.0")
    assert all(finding.measured for finding in report.findings)


async def test_live_changes_are_compared_frame_by_frame(prefix: Path) -> None:
    report = await run(prefix, "versatile", "values", "change")
    measured = {finding.name: finding.measured for finding in report.findings}
    # mirror: true; count: 1, 3; brush: shortest and longest. The model is loaded by its name: no free text.
    assert measured["values"] == "5 of 5 values"
    changes, compared = (int(word) for word in measured["change"].split() if word.isdigit())
    assert compared >= 6 * changes


async def test_what_a_broken_rule_needs_is_skipped_with_the_reason(prefix: Path) -> None:
    report = await run(prefix, "slow-import", "import", "frames", "change", import_limit_s=0.5)
    outcomes = {finding.name: (finding.outcome.value, finding.measured) for finding in report.findings}
    assert outcomes["import"][0] == "fail"
    assert {name for name, (outcome, _) in outcomes.items() if outcome == "skipped"} == {
        "load",
        "frames",
        "values",
        "change",
    }
    assert {text for outcome, text in outcomes.values() if outcome == "skipped"} == {"needs import"}


async def test_rules_can_be_left_out(prefix: Path) -> None:
    installed = Catalog.scan([prefix]).find("vague")
    options = CheckOptions(quick=True, only=frozenset({"schema"}), skip=frozenset({"schema"}))
    report = await check(installed, options)
    assert report.findings[-1].measured == "left out as asked"
    with pytest.raises(CallerError, match="there is no rule 'manners'"):
        await check(installed, CheckOptions(only=frozenset({"manners"})))


async def test_nothing_is_left_behind(prefix: Path) -> None:
    await run(prefix, "leaves-child", "frames")
    left = [p for p in psutil.process_iter(["environ"]) if "AI_RUNNER_CHECK" in (p.info["environ"] or {})]
    mine = [p for p in left if p.info["environ"].get("BAD_CITIZENS_RUN") == os.environ["BAD_CITIZENS_RUN"]]
    _, alive = psutil.wait_procs(mine, timeout=5)  # one that was killed a moment ago may not have ended yet
    assert alive == []
