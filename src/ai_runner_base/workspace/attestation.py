"""Signed statements on packages: made where CI lends an identity, checked before anything is installed.

The statement is that of `channel.provenance`, in a Sigstore bundle beside the package. Signing and checking are the
``sigstore`` package's, which is optional; what a signature is worth is said by a policy, a TOML file::

    [[trust]]
    packages = ["my-*"]
    identity = "https://github.com/me/my-pipeline/.github/workflows/publish.yml@refs/heads/main"
    issuer = "https://token.actions.githubusercontent.com"

Packages that no entry names need no attestation: those of conda-forge have none.
"""

from __future__ import annotations

import fnmatch
import json
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import CallerError, HostError, PeerError

ENDING = ".sigstore.json"
"""Of the bundle beside a package."""
_STATEMENT = "https://in-toto.io/Statement/v1"
_LIMIT_S = 30.0
_BUNDLE_BYTES = 1 << 20
_HINT = "install it: pip install sigstore, or conda install sigstore"

CheckSignature = Callable[[bytes, str, str], bytes]
"""Gets a bundle, an identity and an issuer; gives the signed statement, or raises `SignatureError`."""


class SignatureError(Exception):
    """A bundle is not signed by whom it should be."""


def is_identity_lent(environ: Mapping[str, str]) -> bool:
    """Say whether a CI (GitHub, GitLab, Buildkite) lends this process an identity to sign with."""
    lenders = {"ACTIONS_ID_TOKEN_REQUEST_URL", "SIGSTORE_ID_TOKEN", "BUILDKITE_AGENT_ACCESS_TOKEN"}
    return bool(lenders & set(environ))


def can_sign(environ: Mapping[str, str]) -> bool:
    """Say whether `sign` has what it needs."""
    return is_identity_lent(environ) and find_spec("sigstore") is not None


def sign(statement: bytes) -> bytes:
    """Sign a statement with the identity that CI lends; the signature goes into Sigstore's public log.

    :returns: the bundle
    :raises HostError: nobody lends an identity, or sigstore is not there
    :raises PeerError: Sigstore cannot be reached
    """
    if find_spec("sigstore") is None:
        raise HostError("signing needs sigstore, which this environment lacks", hint=_HINT)
    from sigstore.dsse import Statement
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityError, IdentityToken, detect_credential
    from sigstore.sign import SigningContext

    try:
        token = detect_credential()
        if token is None:
            raise IdentityError("no CI that lends an identity was found")
        context = SigningContext.from_trust_config(ClientTrustConfig.production())
        with context.signer(IdentityToken(token)) as signer:
            return str(signer.sign_dsse(Statement(statement)).to_json()).encode()
    except IdentityError as error:
        hint = "publish in a CI job that may request an identity token, or with --no-attest"
        raise HostError(f"nothing can be signed: {error}", hint=hint) from error
    except Exception as error:  # sigstore's and those of everything below it
        raise PeerError(
            f"Sigstore did not sign: {error}", hint="publish again, or with --no-attest"
        ) from error


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose word counts for which packages.

    :param packages: patterns of package names, such as ``my-*``
    :param identity: who must have signed: for a CI job the address of its workflow
    :param issuer: who vouches for that identity
    """

    packages: tuple[str, ...]
    identity: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Policy:
    """What must be attested by whom before it is installed."""

    entries: tuple[Trust, ...]
    where: str = ""

    @classmethod
    def read(cls, path: Path) -> Policy:
        """Read a policy.

        :raises CallerError: it cannot be read, or is not complete
        """
        hint = "write [[trust]] with packages = [...], identity and issuer"
        try:
            entries = tuple(_trust(entry) for entry in tomllib.loads(path.read_text())["trust"])
        except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise CallerError(f"{path} is no policy: {error!r}", hint=hint) from error
        if not entries:
            raise CallerError(f"{path} trusts nobody and asks for nothing", hint=hint)
        return cls(entries, str(path))

    def concerns(self, name: str) -> tuple[Trust, ...]:
        """Those whose word counts for a package; none where it needs no attestation."""
        return tuple(
            trust for trust in self.entries if any(fnmatch.fnmatchcase(name, glob) for glob in trust.packages)
        )

    def require(self, name: str, url: str, sha256: str, check: CheckSignature | None = None) -> None:
        """Refuse a package without an attestation by somebody trusted.

        :param url: of the package; the bundle lies beside it
        :param sha256: that its file has, or will be held to
        :raises CallerError: there is none, or it is about another file or by somebody else
        """
        trusted = self.concerns(name)
        if not trusted:
            return
        bundle, problems = _fetch(f"{url}{ENDING}"), []
        for trust in trusted:
            try:
                _require_subject((check or check_signature)(bundle, trust.identity, trust.issuer), sha256)
                return
            except SignatureError as error:
                problems.append(str(error))
        hint = f"nothing was installed; who is trusted for {name} stands in {self.where}"
        raise CallerError(f"{url} has no attestation that counts: {'; '.join(problems)}", hint=hint)


def _trust(entry: Mapping[str, Any]) -> Trust:
    return Trust(tuple(map(str, entry["packages"])), str(entry["identity"]), str(entry["issuer"]))


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_LIMIT_S) as answer:
            content: bytes = answer.read(_BUNDLE_BYTES)
            return content
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise PeerError(f"{url}: {error}") from error
        raise _unattested(url) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError) or "No such file" in str(error.reason):
            raise _unattested(url) from error
        raise PeerError(f"{url}: {error.reason}", hint="try again") from error


def _unattested(url: str) -> CallerError:
    hint = "nothing was installed; have it published with an attestation, or change the policy"
    return CallerError(f"the policy asks for an attestation, and there is none: {url}", hint=hint)


def check_signature(bundle: bytes, identity: str, issuer: str) -> bytes:
    """Check a bundle with sigstore, against the keys that it brings along; asks no server.

    :returns: the statement that was signed
    :raises SignatureError: by somebody else, altered, or no bundle at all
    :raises HostError: sigstore is not there
    """
    if find_spec("sigstore") is None:
        raise HostError(
            "the policy asks for attestations, and sigstore, which checks them, is not here", hint=_HINT
        )
    from sigstore.models import Bundle
    from sigstore.verify import Verifier

    return verified(Verifier.production(offline=True), Bundle.from_json, bundle, identity, issuer)


def verified(
    verifier: Any, parse: Callable[[bytes], Any], bundle: bytes, identity: str, issuer: str
) -> bytes:
    """Have one of sigstore's verifiers check a bundle."""
    from sigstore.errors import Error
    from sigstore.verify.policy import Identity

    try:
        kind, statement = verifier.verify_dsse(parse(bundle), Identity(identity=identity, issuer=issuer))
    except (Error, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise SignatureError(f"not signed by {identity}: {reason}") from error
    if kind != "application/vnd.in-toto+json":
        raise SignatureError(f"what was signed is {kind}, no statement on a package")
    return bytes(statement)


def _require_subject(statement: bytes, sha256: str) -> None:
    try:
        content = json.loads(statement)
        kind, named = content["_type"], [subject["digest"]["sha256"] for subject in content["subject"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SignatureError("what was signed is no statement on a package") from error
    if kind != _STATEMENT or sha256 not in named:
        raise SignatureError(f"it is about another file than {sha256[:12]}…")
