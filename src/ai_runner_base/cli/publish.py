"""`ai-runner publish`: build, check, say where it comes from, and put it where others install from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..conformance import CheckOptions
from ..errors import CallerError
from ._installing import channel_url, require
from ._pixiw_display import Display
from ._pixiw_events import EventReporter

if TYPE_CHECKING:
    from ..channel import PackageFile, Parcel, Target

    _Found = list[tuple[PackageFile, Path | None]]
    """Packages, each with the recipe that it was made from just now."""

_KINDS = ("prefix", "anaconda", "quetz", "artifactory", "s3", "folder")


@click.command(name="publish")
@click.argument("what", nargs=-1, metavar="[RECIPE|PACKAGE]...", type=click.Path(path_type=Path))
@click.option("--to", "kind", type=click.Choice(_KINDS), required=True, help="What kind of place it is.")
@click.option(
    "--url",
    default="",
    envvar="AI_RUNNER_PUBLISH_URL",
    metavar="URL|FOLDER",
    help="Address of the server, s3://BUCKET/FOLDER, or the folder.",
)
@click.option("--channel", default="", help="Channel on the server; with anaconda OWNER or OWNER/LABEL.")
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="NAME|URL|FOLDER",
    help="Where all else comes from, to build and to check; repeatable. Default: the manifest's channels.",
)
@click.option(
    "--built",
    type=click.Path(path_type=Path),
    default=Path("output/channel"),
    show_default=True,
    help="Folder of the channel that recipes are built into.",
)
@click.option("--check/--no-check", "with_check", default=True, help="Refuse pipelines that break a rule.")
@click.option("--quick", is_flag=True, help="Check with fewer frames and shorter waits.")
@click.option(
    "--attest/--no-attest",
    default=None,
    help="Sign where the package comes from (Sigstore). Default: where CI lends an identity.",
)
@click.option("--dry-run", is_flag=True, help="Build and check, and say what would be published.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    what: tuple[Path, ...],
    kind: str,
    url: str,
    channel: str,
    sources: tuple[str, ...],
    built: Path,
    with_check: bool,
    quick: bool,
    attest: bool | None,
    dry_run: bool,
) -> None:
    """Publish RECIPEs (folders, by default those of this repository) or PACKAGEs (.conda files).

    Recipes are built and tested if they have changed. Their pipelines are checked, and the report goes into the
    package. A package that was built before is published as it is, if its report is in it and says that all is well.
    """
    require("rattler", "py-rattler")
    require("rattler_build", "py-rattler-build")
    from ..channel import Target

    target = Target(kind, url, channel)
    display = Display(1 if ctx.find_root().obj["verbose"] else 0)
    try:
        reporter = EventReporter(display.handle)
        options = CheckOptions(quick=quick) if with_check else None
        packages = _packages(what, built, sources, options, reporter)
        if with_check:
            _require_reports(packages)
        display.close()  # what uploads draws a bar of its own
        new = [] if dry_run else _publish(packages, target, reporter, attest)
    finally:
        display.close()
    _tell(packages, new, target, dry_run=dry_run)


def _publish(packages: _Found, target: Target, reporter: EventReporter, attest: bool | None) -> list[str]:
    from ..channel import publish

    sign = _wants_signature(attest, target)
    ours = sign and target.takes_files  # else the server's uploader signs
    parcels = [_parcel(package, recipe, sign=ours) for package, recipe in packages]
    return publish(parcels, target, reporter, attest=sign)


def _packages(
    what: Sequence[Path],
    built: Path,
    sources: Sequence[str],
    options: CheckOptions | None,
    reporter: EventReporter,
) -> _Found:
    """Find, or build, the files to publish."""
    from ..channel import read_package

    given = [path for path in what if path.suffix == ".conda"]
    recipes = [path for path in what if path.suffix != ".conda"]
    packages: _Found = [(read_package(path), None) for path in given]
    if recipes or not given:
        packages += _build(recipes, built, sources, options, reporter)
    return packages


def _build(
    recipes: Sequence[Path],
    built: Path,
    sources: Sequence[str],
    options: CheckOptions | None,
    reporter: EventReporter,
) -> _Found:
    """Build what has changed, from the channels that are named, else from those of the repository's manifest."""
    from ..channel import packages_of, read_package
    from ._shipping import build_checked
    from .build_packages import plan_build

    named = [channel_url(source) for source in sources]
    plan = plan_build(recipes, named, reporter, with_tests=True)
    build_checked(plan, built, reporter, options)
    return [(read_package(path), folder) for folder in plan.folders for path in packages_of(folder, built)]


def _require_reports(packages: _Found) -> None:
    """Refuse what was not checked, or did not pass.

    :raises CallerError: says which
    """
    for package, _ in packages:
        for pipeline in package.pipelines:
            if pipeline.report is None:
                raise CallerError(
                    f"{package.path.name} has no conformance report on {pipeline.name}",
                    hint="publish its recipe, which checks it; --no-check publishes it all the same",
                )
            if pipeline.report.get("ok") is not True:
                raise CallerError(
                    f"{package.path.name}: its report says that {pipeline.name} breaks rules",
                    hint="see which: ai-runner check; --no-check publishes it all the same",
                )


def _wants_signature(attest: bool | None, target: Target) -> bool:
    """Whether to sign: where it was asked for, else where it can be done and somebody will find it.

    :raises CallerError: it was asked for, and the target has no place for it
    """
    from ..channel import KEY_VARIABLES
    from ..workspace import attestation

    if attest and not target.takes_attestations:
        raise CallerError(f"{target.kind} takes no attestations", hint="publish with --no-attest")
    if attest is not None:
        return attest
    if target.kind == "prefix":  # its uploader signs, unless it is given a key
        return attestation.is_identity_lent(os.environ) and KEY_VARIABLES["prefix"] not in os.environ
    return target.takes_files and attestation.can_sign(os.environ)


def _parcel(package: PackageFile, recipe: Path | None, *, sign: bool) -> Parcel:
    from ..channel import Parcel, provenance
    from ..workspace import attestation

    statement = provenance.encode(provenance.statement(package, recipe, os.environ))
    beside = {provenance.ENDING: statement}
    if sign:
        beside[attestation.ENDING] = attestation.sign(statement)
    return Parcel(package, beside)


def _tell(packages: _Found, new: Sequence[str], target: Target, *, dry_run: bool) -> None:
    for package, _ in packages:
        done = "published" if package.file_name in new else "was there already"
        click.echo(f"{package.file_name}: {'not published (dry run)' if dry_run else done}")
        click.echo(f"  sha256 {package.sha256}")
        for pipeline in package.pipelines:
            click.echo(f"  pipeline {pipeline.name}: {'checked' if pipeline.report else 'not checked'}")
    click.echo(f"{'would go to' if dry_run else 'now in'} {target}")
