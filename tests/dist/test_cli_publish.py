"""`ai-runner publish`: checked packages in folders, buckets and on servers, and nothing that was not checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests._support.package_server import PackageServer, package_server
from tests._support.shades import CODE, ai_runner, shade, shade_channel
from tests._support.tinychannel import module, write_package

from ai_runner_base.channel import read_package, with_files
from ai_runner_base.channel._s3 import Key, sign

pytestmark = pytest.mark.dist

KEYS = ("PREFIX_API_KEY", "QUETZ_API_KEY", "ARTIFACTORY_TOKEN", "ANACONDA_API_KEY", "AWS_ACCESS_KEY_ID")
SECRET = "very-secret-7f3a"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's keys nor its keyring, nor an identity of its CI."""
    for name in (*KEYS, "ACTIONS_ID_TOKEN_REQUEST_URL", "SIGSTORE_ID_TOKEN", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RATTLER_AUTH_FILE", str(tmp_path / "keys.json"))
    (tmp_path / "keys.json").write_text("{}")


@pytest.fixture
def server() -> Iterator[PackageServer]:
    with package_server() as running:
        yield running


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A package without a pipeline, which needs no report."""
    return write_package(tmp_path / "made", module("plain"))


def publish(*words: str | Path, code: int = 0, **env: str) -> str:
    done = ai_runner("publish", *words, env=env)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert SECRET not in said
    return said


# ---- a recipe, from its folder to somebody's environment

RECIPE = """
package: {name: tint, version: "1.0"}
source: {path: .}
build:
  noarch: python
  script:
    - mkdir -p $SP_DIR/tint-1.0.dist-info
    - cp tint.py $SP_DIR
    - cp METADATA entry_points.txt $SP_DIR/tint-1.0.dist-info/
  variant: {use_keys: [src_hash]}
requirements: {host: [python], run: [python, ai-runner-base]}
"""
TINT = CODE.replace("Shade", "Tint").replace("from shade_grey import GREY", "GREY = 40")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "tint"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "tint.py").write_text(TINT)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tint\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[ai_runner.pipeline]\ntint = tint:Tint\n")
    return folder


def test_a_recipe_is_built_checked_published_and_installed_with_its_report(
    recipe: Path, tmp_path: Path
) -> None:
    others = shade_channel(tmp_path / "others")
    to = ["--to", "folder", "--url", tmp_path / "public"]
    words = [recipe, *to, "--from", others, "--built", tmp_path / "built", "--quick"]
    said = publish(*words)
    assert "checked tint" in said
    assert "published" in said
    again = publish(*words)
    assert "checked tint" not in again
    assert "was there already" in again

    prefix = tmp_path / "envs" / "tint"
    channels = ["-c", tmp_path / "public", "-c", others, "--override-channels"]
    assert ai_runner("install", "tint", *channels, "--prefix", prefix).returncode == 0
    listed = ai_runner("pipelines", "--json", "--no-params", "--environments", prefix)
    (entry,) = [item for item in json.loads(listed.stdout)["pipelines"] if item["name"] == "tint"]
    assert entry["check"]["ok"] is True
    assert entry["check"]["passed"] > 15
    assert (
        "(quick check of ai-runner" in ai_runner("pipelines", "--no-params", "--environments", prefix).stdout
    )

    (package,) = (tmp_path / "public/noarch").glob("tint-*.conda")
    report = read_package(package).pipelines[0].report
    assert report is not None
    assert {finding["measured"] for finding in report["findings"]} == {""}, (
        "nothing that differs from run to run"
    )
    stated = json.loads(package.with_name(f"{package.name}.provenance.json").read_text())
    assert stated["subject"][0]["digest"]["sha256"] == hashlib.sha256(package.read_bytes()).hexdigest()
    assert stated["predicate"]["buildDefinition"]["externalParameters"]["recipe"] == "tint"


def test_a_pipeline_that_breaks_a_rule_is_not_published(recipe: Path, tmp_path: Path) -> None:
    (recipe / "tint.py").write_text("import nothing_there\n")
    others = shade_channel(tmp_path / "others")
    to = ["--to", "folder", "--url", tmp_path / "public", "--built", tmp_path / "built"]
    said = publish(recipe, *to, "--from", others, "--quick", code=3)
    assert "tint is no good citizen of a host" in said
    assert "import:" in said
    assert not (tmp_path / "public").exists()


# ---- packages that were built before


def test_a_package_without_a_report_or_with_a_bad_one_is_refused(tmp_path: Path) -> None:
    package = write_package(tmp_path / "made", shade("1.0"))
    to = ["--to", "folder", "--url", tmp_path / "public"]
    assert "has no conformance report on shade" in publish(package, *to, code=2)
    path = read_package(package).pipelines[0].report_path
    with_files(package, {path: b'{"ok": false}'}, package)
    assert "its report says that shade breaks rules" in publish(package, *to, code=2)
    assert not (tmp_path / "public").exists()
    assert "published" in publish(package, *to, "--no-check")


def test_added_files_are_told_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    package = write_package(tmp_path / "made", shade("1.0"))
    before = read_package(package)
    copy = tmp_path / package.name
    with_files(package, {"site-packages/shade.check.json": b'{"ok": true}'}, copy)
    after = read_package(copy)
    assert (after.name, after.version, after.build) == (before.name, before.version, before.build)
    assert after.pipelines[0].report == {"ok": True}
    twice = with_files(copy, {"site-packages/shade.check.json": b'{"ok": true}'}, tmp_path / "x.conda")
    assert twice.read_bytes() == copy.read_bytes(), "the same files make the same bytes"


def test_a_folder_becomes_a_channel_and_keeps_what_it_has(plain: Path, tmp_path: Path) -> None:
    public = tmp_path / "public"
    to = ["--to", "folder", "--url", public]
    assert "not published (dry run)" in publish(plain, *to, "--dry-run")
    assert not public.exists()
    publish(plain, *to)
    other = write_package(tmp_path / "made", module("other"))
    publish(other, plain, *to)
    index = json.loads((public / "noarch/repodata.json").read_text())["packages.conda"]
    assert sorted(index) == ["other-1.0-0.conda", "plain-1.0-0.conda"]
    assert (public / "noarch/repodata_shards.msgpack.zst").is_file()
    before = plain.read_bytes()
    write_package(tmp_path / "made", module("plain", text="VALUE = 2\n"))
    assert "is there already, with other content" in publish(plain, *to, code=2)
    assert (public / "noarch/plain-1.0-0.conda").read_bytes() == before


def test_a_package_that_no_index_names_yet_is_published_again(plain: Path, tmp_path: Path) -> None:
    """Whoever publishes may be killed between two steps."""
    public = tmp_path / "public"
    publish(write_package(tmp_path / "made", module("other")), "--to", "folder", "--url", public)
    (public / "noarch" / plain.name).write_bytes(plain.read_bytes())
    assert f"{plain.name}: published" in publish(plain, "--to", "folder", "--url", public)
    index = json.loads((public / "noarch/repodata.json").read_text())["packages.conda"]
    assert sorted(index) == ["other-1.0-0.conda", "plain-1.0-0.conda"]


def test_a_folder_that_cannot_be_written_to_is_named(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot write to" in publish(plain, "--to", "folder", "--url", tmp_path / "file/public", code=5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "quetz", "--channel", "mine"], "quetz needs an address"),
        (["--to", "prefix", "--url", "http://127.0.0.1:1"], "prefix needs the name of a channel"),
        (["--to", "s3", "--url", "bucket"], "is no bucket"),
        (["--to", "s3", "--url", "s3://bucket/x"], "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (["--to", "quetz", "--url", "http://x", "--channel", "c", "--attest"], "quetz takes no attestations"),
    ],
)
def test_what_is_missing_is_said(plain: Path, words: list[str], said: str) -> None:
    assert said in publish(plain, *words, code=2)


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a-1-0.conda").write_bytes(b"no zip")
    assert "is no conda package" in publish(
        tmp_path / "a-1-0.conda", "--to", "folder", "--url", tmp_path / "p", code=2
    )


# ---- servers, over a socket


def to_server(server: PackageServer, kind: str) -> list[str]:
    return ["--to", kind, "--url", server.url, "--channel", "mine"]


@pytest.mark.parametrize(
    ("kind", "variable", "header", "path"),
    [
        ("prefix", "PREFIX_API_KEY", ("authorization", f"Bearer {SECRET}"), "/api/v1/upload/mine"),
        ("quetz", "QUETZ_API_KEY", ("x-api-key", SECRET), "/api/channels/mine/upload/plain-1.0-0.conda"),
        (
            "artifactory",
            "ARTIFACTORY_TOKEN",
            ("authorization", f"Bearer {SECRET}"),
            "/mine/noarch/plain-1.0-0.conda",
        ),
    ],
)
def test_the_key_goes_into_the_header_and_nowhere_else(
    server: PackageServer, plain: Path, kind: str, variable: str, header: tuple[str, str], path: str
) -> None:
    server.answers = [503]
    assert "published" in publish(plain, *to_server(server, kind), **{variable: SECRET})
    sent = [*server.of("POST"), *server.of("PUT")]
    assert [request.status for request in sent] == [503, 200], "a server that is busy is asked again"
    assert all(request.headers[header[0]] == header[1] for request in sent)
    assert all(request.path.partition("?")[0] == path and SECRET not in request.path for request in sent)
    assert plain.read_bytes() in sent[-1].body


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (409, 2, "is there already, with other content"),
        (401, 2, "refuses the key"),
        (400, 4, "was not taken by"),
    ],
)
def test_what_the_server_does_not_want_is_said_and_not_tried_again(
    server: PackageServer, plain: Path, status: int, code: int, said: str
) -> None:
    server.answers = [status]
    assert said in publish(plain, *to_server(server, "prefix"), code=code, PREFIX_API_KEY=SECRET)
    assert len(server.of("POST")) == 1


def test_a_name_that_is_taken_is_seen_before_anything_is_sent(server: PackageServer, plain: Path) -> None:
    server.files["/mine/noarch/plain-1.0-0.conda"] = (b"other", {"X-Checksum-Sha256": "0" * 64})
    words = to_server(server, "artifactory")
    assert "with other content" in publish(plain, *words, code=2, ARTIFACTORY_TOKEN=SECRET)
    same = hashlib.sha256(plain.read_bytes()).hexdigest()
    server.files["/mine/noarch/plain-1.0-0.conda"] = (b"", {"X-Checksum-Sha256": same})
    assert "was there already" in publish(plain, *words, ARTIFACTORY_TOKEN=SECRET)
    assert server.of("PUT") == []


def test_without_a_key_the_reason_is_said(server: PackageServer, plain: Path) -> None:
    said = publish(plain, *to_server(server, "prefix"), code=2)
    assert "put a key that may write to this channel into PREFIX_API_KEY" in said
    assert server.seen == []


# ---- buckets

AWS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "local"}


def test_a_bucket_becomes_a_channel(server: PackageServer, plain: Path, tmp_path: Path) -> None:
    env = AWS | {"AWS_ENDPOINT_URL": server.url}
    server.answers = [200, 500]
    said = publish(plain, "--to", "s3", "--url", "s3://bucket/channel", **env)
    assert "published" in said
    assert server.files["/bucket/channel/noarch/plain-1.0-0.conda"][0] == plain.read_bytes()
    index = json.loads(server.files["/bucket/channel/noarch/repodata.json"][0])
    assert list(index["packages.conda"]) == ["plain-1.0-0.conda"]
    assert "/bucket/channel/noarch/plain-1.0-0.conda.provenance.json" in server.files
    assert "was there already" in publish(plain, "--to", "s3", "--url", "s3://bucket/channel", **env)
    write_package(tmp_path / "made", module("plain", text="VALUE = 2\n"))
    assert "with other content" in publish(plain, "--to", "s3", "--url", "s3://bucket/channel", code=2, **env)


def test_requests_are_signed_as_amazon_documents_it() -> None:
    """The example of a PUT in Amazon's description of Signature Version 4, with its key and its signature."""
    key = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
    digest = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
    headers = {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    url = "https://examplebucket.s3.amazonaws.com/test$file.text"
    signed = sign("PUT", url, headers, digest, key, datetime(2013, 5, 24, tzinfo=UTC))
    expected = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    assert signed["authorization"].endswith(f"Signature={expected}")
