"""What must be attested is installed only with a word that counts; the signature itself is sigstore's."""

from __future__ import annotations

import base64
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests._support.shades import ai_runner, shade_channel

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.workspace import attestation
from ai_runner_base.workspace.attestation import Policy, SignatureError, Trust

pytestmark = pytest.mark.dist

ME = Trust(("my-*", "shade"), "me@example.org", "https://issuer.example.org")
OTHER = Trust(("my-special",), "other@example.org", "https://issuer.example.org")
POLICY = """
[[trust]]
packages = ["my-*", "shade"]
identity = "me@example.org"
issuer = "https://issuer.example.org"
"""


def statement(sha256: str = "ab" * 32, kind: str = "https://in-toto.io/Statement/v1") -> bytes:
    return json.dumps({"_type": kind, "subject": [{"digest": {"sha256": sha256}}]}).encode()


def signed_by(identity: str, content: bytes) -> attestation.CheckSignature:
    """A check of signatures that knows one signer."""

    def check(bundle: bytes, who: str, issuer: str) -> bytes:
        assert bundle == b"bundle"
        if who != identity:
            raise SignatureError(f"not signed by {who}")
        return content

    return check


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "a.conda.sigstore.json").write_bytes(b"bundle")
    return (tmp_path / "a.conda").as_uri()


def test_a_policy_is_read_and_says_whom_it_concerns(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    policy = Policy.read(tmp_path / "policy.toml")
    assert policy.entries == (ME,)
    assert policy.concerns("my-pipeline") == (ME,)
    assert policy.concerns("numpy") == ()


@pytest.mark.parametrize("text", ["", "trust = 1", "[[trust]]\npackages = ['a']", "trust = []", "no toml"])
def test_a_policy_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(CallerError, match=r"policy\.toml"):
        Policy.read(tmp_path / "policy.toml")


def test_the_word_of_any_who_is_trusted_counts_for_this_very_file(url: str) -> None:
    policy = Policy((ME, OTHER))
    policy.require("my-special", url, "ab" * 32, signed_by("other@example.org", statement()))
    policy.require("my-special", url, "ab" * 32, signed_by("me@example.org", statement()))
    policy.require("numpy", "file:///nowhere/numpy.conda", "")
    with pytest.raises(CallerError, match=r"not signed by me@example\.org; not signed by other"):
        policy.require("my-special", url, "ab" * 32, signed_by("x", statement()))
    with pytest.raises(CallerError, match="it is about another file than cdcdcd"):
        policy.require("my-x", url, "cd" * 32, signed_by("me@example.org", statement()))


@pytest.mark.parametrize(
    "content", [b"text", b"{}", b'{"_type": "x", "subject": 1}', statement(kind="other")]
)
def test_what_is_no_statement_does_not_count(url: str, content: bytes) -> None:
    with pytest.raises(CallerError, match="has no attestation that counts"):
        Policy((ME,)).require("my-x", url, "ab" * 32, signed_by("me@example.org", content))


def test_without_sigstore_nothing_counts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attestation, "find_spec", lambda name: None)
    with pytest.raises(HostError, match="sigstore, which checks them, is not here"):
        Policy((ME,)).require("my-x", url, "ab" * 32)
    with pytest.raises(HostError, match="signing needs sigstore"):
        attestation.sign(statement())


BEACON = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon"
WORKFLOW = f"{BEACON}/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"
SUBJECT = "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf"


@pytest.mark.skipif(
    find_spec("sigstore") is None, reason="sigstore, which checks signatures, is not installed"
)
def test_a_signature_of_a_real_ci_job_counts_until_something_is_changed() -> None:
    """Provenance signed in GitHub's CI for Sigstore's test network (from sigstore-python's tests, Apache-2.0)."""
    from sigstore.models import Bundle
    from sigstore.verify import Verifier

    bundle = (Path(__file__).parents[1] / "data/attestation-staging.sigstore.json").read_bytes()
    verifier = Verifier.staging(offline=True)

    def check(content: bytes, who: str, issuer: str) -> bytes:
        return attestation.verified(verifier, Bundle.from_json, content, who, issuer)

    assert SUBJECT in check(bundle, WORKFLOW, ISSUER).decode()
    other = json.loads(bundle)
    other["dsseEnvelope"]["payload"] = base64.b64encode(statement(SUBJECT)).decode()
    for content, who in ((bundle, f"{WORKFLOW}x"), (json.dumps(other).encode(), WORKFLOW), (b"{}", WORKFLOW)):
        with pytest.raises(SignatureError, match="not signed by"):
            check(content, who, ISSUER)


def test_an_identity_is_lent_by_ci_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not attestation.is_identity_lent({"HOME": "/", "CI": "1"})
    environ = {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1"}
    assert attestation.is_identity_lent(environ)
    monkeypatch.setattr(attestation, "find_spec", lambda name: None)
    assert not attestation.can_sign(environ)


def test_install_refuses_what_nobody_trusted_has_signed(tmp_path: Path) -> None:
    channel = shade_channel(tmp_path / "channel", "1.0")
    (tmp_path / "policy.toml").write_text(POLICY)
    prefix = tmp_path / "envs/shade"
    words = ["install", "shade", "-c", channel, "--override-channels", "--prefix", prefix]
    done = ai_runner(*words, "--require-attestation", tmp_path / "policy.toml")
    assert done.returncode == 2
    assert "the policy asks for an attestation, and there is none" in done.stderr
    bundle = channel / "noarch/shade-1.0-0.conda.sigstore.json"
    bundle.write_text("{}")
    again = ai_runner(*words, env={"AI_RUNNER_ATTESTATION_POLICY": str(tmp_path / "policy.toml")})
    assert again.returncode == (2 if find_spec("sigstore") else 5), again.stderr
    assert not prefix.exists()
    (tmp_path / "other.toml").write_text(POLICY.replace('"my-*", "shade"', '"other"'))
    assert ai_runner(*words, "--require-attestation", tmp_path / "other.toml").returncode == 0
