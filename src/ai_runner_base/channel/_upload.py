"""One package to one server, by py-rattler-build's uploader in a process of its own.

The uploaders keep the interpreter's lock while they wait for the network: in this process Ctrl-C and everything else
would have to wait. As a program this module reads one `Upload` from standard input, where no other process sees the
key. The uploader's progress bar goes to the terminal that standard error is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ai_runner_base.errors import HostError

from .package_file import PackageFile

_LIMIT_S = 3600.0
_ASK_LIMIT_S = 30.0
_STATUS = re.compile(r"HTTP (?:status )?\D{0,3}(\d{3})|status (?:code )?(\d{3})")

_NO_KEY = re.compile(r"(?i)\bno\b.*\b(?:key|token)\b.*\bfound\b")


class UploadRefusedError(Exception):
    """The server, or the way to it, failed.

    :param text: what the uploader said; `status` is the HTTP status in it, else 0
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = _STATUS.search(text)
        self.status = int(found[1] or found[2]) if found else 0
        if _NO_KEY.search(text):
            self.status = 401

    @property
    def is_final(self) -> bool:
        """Whether trying again is of no use."""
        return 400 <= self.status < 500 and self.status not in (408, 425, 429)


@dataclass(frozen=True)
class Upload:
    """What is to be done.

    :param kind: ``prefix``, ``anaconda``, ``quetz`` or ``artifactory``
    :param key: None leaves it to the uploader, which asks the keyring
    :param attest: with a Sigstore attestation (``prefix`` only)
    """

    kind: str
    file: Path
    url: str
    channel: str
    key: str | None
    attest: bool = False

    def run(self) -> None:
        """Upload, and wait for the end.

        :raises UploadRefusedError: it was not taken
        :raises HostError: py-rattler-build is not there
        """
        job = json.dumps({**asdict(self), "file": str(self.file)})
        command = [sys.executable, "-I", "-m", __name__]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            answer, _ = process.communicate(job, timeout=_LIMIT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode == HostError.exit_code:
            raise HostError(answer.strip(), hint="install it: py-rattler-build")
        if process.returncode != 0:
            raise UploadRefusedError(answer.strip() or f"the uploader ended with {process.returncode}")


def exists(upload: Upload, package: PackageFile) -> str | None:
    """Ask whether a file of that name is there: Quetz and Artifactory do not say so when it is uploaded.

    :returns: its SHA-256 where the server tells it, else an empty text; None where there is none
    """
    place = {"quetz": f"get/{upload.channel}", "artifactory": upload.channel}.get(upload.kind)
    if place is None:
        return None
    url = f"{upload.url.rstrip('/')}/{place}/{package.file_name}"
    key = upload.key or ""
    header = {"X-API-Key": key} if upload.kind == "quetz" else {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(url, method="HEAD", headers=header if key else {})
    try:
        with urllib.request.urlopen(request, timeout=_ASK_LIMIT_S) as answer:
            return str(answer.headers.get("X-Checksum-Sha256") or "")
    except (urllib.error.URLError, TimeoutError, OSError):
        return None  # what stands in the way will be told by the upload


def _call(job: dict[str, Any]) -> None:
    from rattler_build import upload

    files, url, channel, key = [job["file"]], job["url"], job["channel"], job["key"]
    if job["kind"] == "prefix":
        upload.upload_package_to_prefix(files, url, channel, api_key=key, generate_attestation=job["attest"])
    elif job["kind"] == "quetz":
        upload.upload_package_to_quetz(files, url, channel, api_key=key)
    elif job["kind"] == "artifactory":
        upload.upload_package_to_artifactory(files, url, channel, token=key)
    else:
        owner, _, label = channel.partition("/")
        labels = [label] if label else None
        upload.upload_package_to_anaconda(files, owner, channel=labels, api_key=key, url=url or None)


def _main() -> int:
    try:
        _call(json.load(sys.stdin))
    except ImportError as error:
        sys.stdout.write(f"uploading needs py-rattler-build, which cannot be imported: {error}")
        return HostError.exit_code
    except Exception as error:  # the uploaders' own kinds are not exported
        sys.stdout.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    code = _main()
    sys.stdout.flush()
    os._exit(code)  # py-rattler-build may crash while an interpreter ends
