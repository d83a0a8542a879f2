"""Put finished packages where others can install them from: a folder, a bucket, or a server of packages.

Servers are spoken to by py-rattler-build's uploaders, a bucket by `_s3`. A file name is for ever: what is there already
under it is either the same file, and done, or a reason to stop.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ai_runner_base.errors import CallerError, HostError, PeerError

from ._protocols import Reporter
from ._s3 import Bucket
from ._store import ChannelDir
from ._upload import Upload, UploadRefusedError, exists
from .conda_writer import Package
from .package_file import PackageFile, Parcel, name_is_taken, read_package

KINDS = ("prefix", "anaconda", "quetz", "artifactory", "s3", "folder")
KEY_VARIABLES = {
    "prefix": "PREFIX_API_KEY",
    "anaconda": "ANACONDA_API_KEY",
    "quetz": "QUETZ_API_KEY",
    "artifactory": "ARTIFACTORY_TOKEN",
}
"""Where each server's key is looked for; without one py-rattler-build asks the keyring, then its own file of keys."""

_RETRY_DELAYS_S = (1.0, 3.0, 9.0)


@dataclass(frozen=True, slots=True)
class Target:
    """Where packages go.

    :param kind: one of `KINDS`
    :param url: address of the server or bucket (``s3://BUCKET/FOLDER``), or the folder
    :param channel: name of the channel on the server; the owner with ``anaconda``, as ``OWNER`` or ``OWNER/LABEL``
    """

    kind: str
    url: str = ""
    channel: str = ""

    def __post_init__(self) -> None:
        if not self.url and self.kind != "anaconda":
            raise CallerError(f"{self.kind} needs an address", hint="say --url, or set AI_RUNNER_PUBLISH_URL")
        if not self.channel and self.kind not in ("s3", "folder"):
            raise CallerError(f"{self.kind} needs the name of a channel", hint="say --channel NAME")
        if self.kind == "s3" and not self.url.startswith("s3://"):
            raise CallerError(f"{self.url} is no bucket", hint="write --url s3://BUCKET/FOLDER")

    @property
    def takes_files(self) -> bool:
        """Whether something can be put beside a package."""
        return self.kind in ("s3", "folder")

    @property
    def takes_attestations(self) -> bool:
        """Whether a signature finds its way to those who install."""
        return self.takes_files or self.kind == "prefix"

    def __str__(self) -> str:
        return f"{self.url or self.kind}{f' ({self.channel})' if self.channel else ''}"


def publish(
    parcels: Sequence[Parcel],
    target: Target,
    reporter: Reporter,
    *,
    environ: Mapping[str, str] = os.environ,
    attest: bool = False,
) -> list[str]:
    """Publish packages, in the order given.

    Folders and buckets take files beside a package; servers get the package alone.

    :param environ: holds the keys (`KEY_VARIABLES`, ``AWS_…``)
    :param attest: have a ``prefix`` server given a Sigstore attestation, with the identity that CI lends
    :returns: file names that are new there; what was there already, the same, is left alone
    :raises CallerError: a name is taken by another file, or the key is refused; nothing else was changed by it
    :raises PeerError: the server failed, or could not be reached
    :raises HostError: the folder cannot be written to
    """
    if target.kind == "folder":
        try:
            return _to_folder(parcels, ChannelDir(Path(target.url)), reporter)
        except OSError as error:
            hint = "readers find what was there before; look at the disk's space and permissions, and publish again"
            raise HostError(f"cannot write to {target}: {error}", hint=hint) from error
    if target.kind == "s3":
        return Bucket.of(target.url, environ).publish(parcels, reporter)
    return [
        parcel.package.file_name
        for parcel in parcels
        if _to_server(parcel, target, reporter, environ.get(KEY_VARIABLES[target.kind]), attest=attest)
    ]


def _to_folder(parcels: Sequence[Parcel], channel: ChannelDir, reporter: Reporter) -> list[str]:
    with channel.lock(reporter), channel.work_dir() as work:
        new = [parcel for parcel in parcels if not _is_there(parcel, channel)]
        packages = []
        for parcel in new:
            copy = work / parcel.package.file_name
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(parcel.package.path, copy)
            packages.append(Package(copy))
        for parcel in parcels:
            _put_beside(parcel, channel.path)
        if new:
            channel.publish(packages, lambda name: True, reporter)
    return [parcel.package.file_name for parcel in new]


def _is_there(parcel: Parcel, channel: ChannelDir) -> bool:
    """Whether the channel has this very file and its index names it: a killed publisher leaves the file alone."""
    package = parcel.package
    file = channel.path / package.file_name
    if not file.is_file():
        return False
    if read_package(file).sha256 != package.sha256:
        raise name_is_taken(package.file_name, channel.path)
    return channel.is_listed(package.file_name)


def _put_beside(parcel: Parcel, channel: Path) -> None:
    """Before the package, so that nobody finds it without; what is there stays."""
    for ending, data in parcel.beside.items():
        file = channel / f"{parcel.package.file_name}{ending}"
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            part = file.with_name(f".{file.name}.part")
            part.write_bytes(data)
            part.replace(file)


def _to_server(parcel: Parcel, target: Target, reporter: Reporter, key: str | None, *, attest: bool) -> bool:
    """Upload one package with what lies beside it; False when the same file was there."""
    package = parcel.package
    upload = Upload(target.kind, package.path, target.url, target.channel, key, attest=attest)
    there = exists(upload, package)
    if there is not None:
        if there not in ("", package.sha256):
            raise name_is_taken(package.file_name, target)
        reporter.note(f"{package.file_name} is there already: {target}")
        return False
    reporter.note(
        f"uploading {package.file_name} to {target}"
    )  # no step: the uploader draws a bar of its own
    _patiently(upload, package, target, reporter)
    return True


def _patiently(upload: Upload, package: PackageFile, target: Target, reporter: Reporter) -> None:
    """Upload, again where the server may think better of it."""
    for delay_s in (*_RETRY_DELAYS_S, None):
        try:
            upload.run()
            return
        except UploadRefusedError as refusal:
            if refusal.status == 409:
                raise name_is_taken(package.file_name, target) from refusal
            if refusal.status in (401, 403):
                raise _key_refused(upload.kind, target, refusal) from refusal
            if delay_s is None or refusal.is_final:
                raise PeerError(
                    f"{package.file_name} was not taken by {target}: {refusal}",
                    hint="see what the server logged; publishing again goes on where this ended",
                ) from refusal
            reporter.note(f"{target}: {refusal}; again in {delay_s:.0f} s")
            time.sleep(delay_s)


def _key_refused(kind: str, target: Target, refusal: UploadRefusedError) -> CallerError:
    hint = f"put a key that may write to this channel into {KEY_VARIABLES[kind]}, or into the keyring"
    return CallerError(f"{target} refuses the key: {refusal}", hint=hint)
