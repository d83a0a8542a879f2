"""Packages into a bucket: signed requests (AWS Signature Version 4), then the index by py-rattler.

py-rattler can index a bucket but not put a file there. Any service that speaks S3 will do (``AWS_ENDPOINT_URL``).
"""

from __future__ import annotations

import hashlib
import hmac
import io
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from ai_runner_base.errors import CallerError, PeerError

from ._protocols import Reporter, Silent, Step
from ._store import run
from .package_file import Parcel, name_is_taken

_LIMIT_S = 300.0
"""For any one read or write on the connection."""
_RETRY_DELAYS_S = (1.0, 3.0, 9.0)
_SHA256_HEADER = "x-amz-meta-sha256"


def sign(
    method: str, url: str, headers: Mapping[str, str], sha256: str, key: Key, when: datetime
) -> dict[str, str]:
    """Give the headers of a request with its signature.

    :param headers: those to be signed beside host, date and content hash
    :param sha256: of the body, in hexadecimal
    """
    parts = urllib.parse.urlsplit(url)
    stamp, day = when.strftime("%Y%m%dT%H%M%SZ"), when.strftime("%Y%m%d")
    signed = {name.lower(): value for name, value in headers.items()}
    signed |= {"host": parts.netloc, "x-amz-content-sha256": sha256, "x-amz-date": stamp}
    if key.session_token:
        signed["x-amz-security-token"] = key.session_token
    names = ";".join(sorted(signed))
    lines = [f"{name}:{signed[name].strip()}" for name in sorted(signed)]
    request = "\n".join([method, urllib.parse.quote(parts.path), parts.query, *lines, "", names, sha256])
    scope = f"{day}/{key.region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    secret = f"AWS4{key.secret}".encode()
    for part in (day, key.region, "s3", "aws4_request", text):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    credential = f"Credential={key.identifier}/{scope}, SignedHeaders={names}, Signature={secret.hex()}"
    return {**signed, "authorization": f"AWS4-HMAC-SHA256 {credential}"}


@dataclass(frozen=True)
class Key:
    """Who is asking."""

    identifier: str
    secret: str
    region: str
    session_token: str = ""


@dataclass(frozen=True)
class Bucket:
    """A channel in a bucket.

    :param url: ``s3://BUCKET/FOLDER``
    :param endpoint: of the service; empty for Amazon's
    """

    url: str
    endpoint: str
    key: Key

    @classmethod
    def of(cls, url: str, environ: Mapping[str, str]) -> Bucket:
        """Take the key from the variables that Amazon's tools read.

        :raises CallerError: one is missing
        """
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        if missing := [name for name in names if not environ.get(name)]:
            raise CallerError(f"no key for {url}", hint=f"set {' and '.join(missing)}")
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        key = Key(
            environ["AWS_ACCESS_KEY_ID"],
            environ["AWS_SECRET_ACCESS_KEY"],
            region,
            environ.get("AWS_SESSION_TOKEN", ""),
        )
        return cls(url.rstrip("/"), environ.get("AWS_ENDPOINT_URL", "").rstrip("/"), key)

    def publish(self, parcels: Sequence[Parcel], reporter: Reporter) -> list[str]:
        """Put packages there, index the bucket, and name what is new."""
        new = [parcel.package.file_name for parcel in parcels if self._put_parcel(parcel, reporter)]
        with reporter.step("index", self.url):  # always: whoever came before may have been stopped in between
            self._index()
        return new

    def _put_parcel(self, parcel: Parcel, reporter: Reporter) -> bool:
        package = parcel.package
        there = self._sha256_of(package.file_name)
        if there == package.sha256:
            return False
        if there is not None:
            raise name_is_taken(package.file_name, self.url)
        for ending, data in parcel.beside.items():
            digest = hashlib.sha256(data).hexdigest()
            self._put(f"{package.file_name}{ending}", io.BytesIO(data), len(data), digest, Silent())
        size = package.path.stat().st_size
        with package.path.open("rb") as file:
            self._put(package.file_name, file, size, package.sha256, reporter)
        return True

    def _sha256_of(self, name: str) -> str | None:
        """Of an object, where we put it; empty for one of others; None where there is none."""
        try:
            with self._send("HEAD", name, {}, hashlib.sha256().hexdigest()) as answer:
                return answer.headers.get(_SHA256_HEADER) or ""
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise self._failed(name, error) from error

    def _put(self, name: str, data: IO[bytes], size: int, sha256: str, reporter: Reporter) -> None:
        for delay_s in (*_RETRY_DELAYS_S, None):
            try:
                data.seek(0)
                with reporter.step("upload", name, size) as step:
                    headers = {"content-length": str(size), _SHA256_HEADER: sha256}
                    with self._send("PUT", name, headers, sha256, _Counted(data, step)):
                        return
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                if delay_s is None or getattr(error, "code", 500) < 500:
                    raise self._failed(name, error) from error
                reporter.note(f"{self.url}: {error}; again in {delay_s:.0f} s")
                time.sleep(delay_s)

    def _send(
        self, method: str, name: str, headers: Mapping[str, str], sha256: str, data: _Counted | None = None
    ) -> closing[Any]:
        url = f"{self._address}/{name}"
        signed = sign(method, url, headers, sha256, self.key, datetime.now(UTC))
        request = urllib.request.Request(url, data, signed, method=method)
        return closing(urllib.request.urlopen(request, timeout=_LIMIT_S))

    @property
    def _address(self) -> str:
        bucket, _, folder = self.url.removeprefix("s3://").partition("/")
        host = f"https://{bucket}.s3.{self.key.region}.amazonaws.com"
        return (
            f"{self.endpoint}/{bucket}/{folder}".rstrip("/")
            if self.endpoint
            else f"{host}/{folder}".rstrip("/")
        )

    def _failed(self, name: str, error: Exception) -> CallerError | PeerError:
        if getattr(error, "code", 0) in (401, 403):
            return CallerError(
                f"{self.url} refuses the key: {error}", hint="see AWS_ACCESS_KEY_ID and its rights"
            )
        return PeerError(f"{name} was not taken by {self.url}: {error}", hint="publish again when it answers")

    def _index(self) -> None:
        from rattler.index import S3Credentials, index_s3

        key = self.key
        credentials = S3Credentials(
            self.endpoint or f"https://s3.{key.region}.amazonaws.com",
            key.region,
            key.identifier,
            key.secret,
            key.session_token or None,
            "path" if self.endpoint else "virtual-host",
        )
        try:
            run(index_s3(self.url, credentials))
        except Exception as error:  # the indexer's own kinds are not exported
            problem = f"{self.url} has the packages, but could not be indexed: {error}"
            raise PeerError(problem, hint="publish again: what is there is not sent twice") from error


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], step: Step) -> None:
        self._file, self._step = file, step

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._step.advance(len(data))
        return data
