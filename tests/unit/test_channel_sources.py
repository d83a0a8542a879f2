"""Which files decide what a recipe gives: the same that the builder copies, and whether they changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_runner_base.channel._gitignore import is_ignored, parse_rule, passes_filter
from ai_runner_base.channel._sources import Source, content_key, stat_key

pytestmark = pytest.mark.unit

GIT = shutil.which("git")


def tree(root: Path, *paths: str, git: bool = True) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    if git:
        (root / ".git").mkdir(parents=True, exist_ok=True)
    return root


def files(source: Source) -> list[str]:
    return [path for path, _ in source.files()]


def test_everything_counts_but_caches(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "a.py",
        "src/b.py",
        "src/.hidden",
        "src/__pycache__/b.pyc",
        ".pixiw/x",
        ".ruff_cache/y",
        "c.pyc",
    )
    assert files(Source(str(root))) == ["a.py", "src/.hidden", "src/b.py"]


def test_gitignore_counts_inside_a_repository_only(tmp_path: Path) -> None:
    inside = tree(tmp_path / "in", "a.py", "b.log", "sub/c.log", "sub/keep.log", "out/d.py")
    outside = tree(tmp_path / "out", "a.py", "b.log", git=False)
    for root in (inside, outside):
        (root / ".gitignore").write_text("*.log\n/out/\n")
    (inside / "sub" / ".gitignore").write_text("!keep.log\n")
    assert files(Source(str(inside))) == [".gitignore", "a.py", "sub/.gitignore", "sub/keep.log"]
    assert "b.log" in files(Source(str(inside), gitignore=False))
    assert files(Source(str(outside))) == [".gitignore", "a.py", "b.log"]


def test_a_gitignore_above_the_source_does_not_count(tmp_path: Path) -> None:
    root = tree(tmp_path, "pipeline/a.py")
    (root / ".gitignore").write_text("*.py\n")
    assert files(Source(str(root / "pipeline"))) == ["a.py"]


def test_a_filter_takes_what_it_names(tmp_path: Path) -> None:
    root = tree(
        tmp_path, "src/a.py", "src/deep/b.py", "README.md", "docs/README.md", "pyproject.toml", "srcs/x"
    )
    source = Source(str(root), ("src/**", "pyproject.toml", "README.md"))
    assert files(source) == ["README.md", "pyproject.toml", "src/a.py", "src/deep/b.py"]
    assert [path.name for path in source.watched()] == ["README.md", "pyproject.toml", "src"]
    assert files(Source(str(root), ("src",), ("**/b.py",))) == ["src/a.py"]
    assert files(Source(str(root), ("*.md",))) == ["README.md", "docs/README.md"]
    assert files(Source(str(root), ("{docs,srcs}/*",))) == ["docs/README.md", "srcs/x"]


def test_a_file_may_be_a_source(tmp_path: Path) -> None:
    root = tree(tmp_path, "LICENSE")
    assert files(Source(str(root / "LICENSE"))) == ["LICENSE"]
    assert files(Source(str(root / "missing"))) == []


def test_content_is_the_truth_and_times_are_a_hint(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.py", "b.py")
    source = [Source(str(root))]
    stat, content = stat_key(source), content_key(source)
    assert (stat_key(source), content_key(source)) == (stat, content)
    os.utime(root / "a.py", (1, 1))
    assert stat_key(source) != stat
    assert content_key(source) == content
    (root / "a.py").write_text("other")
    assert content_key(source) != content


def test_names_modes_and_links_count(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.py", "b.py")
    (root / "link").symlink_to("a.py")
    seen = {content_key([Source(str(root))])}
    (root / "a.py").chmod(0o755)
    seen.add(content_key([Source(str(root))]))
    (root / "link").unlink()
    (root / "link").symlink_to("b.py")
    seen.add(content_key([Source(str(root))]))
    (root / "b.py").rename(root / "c.py")
    seen.add(content_key([Source(str(root))]))
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("rule", "path", "folder", "ignored"),
    [
        ("*.log", "a/b.log", False, True),
        ("/x", "x", False, True),
        ("/x", "a/x", False, False),
        ("a/*.c", "a/b.c", False, True),
        ("a/*.c", "a/b/d.c", False, False),
        ("a/**/z", "a/z", False, True),
        ("a/**/z", "a/b/c/z", False, True),
        ("**/z", "q/z", False, True),
        ("a/**", "a/b", False, True),
        ("dist/", "dist", False, False),
        ("dist/", "x/dist", True, True),
        ("[ab].txt", "b.txt", False, True),
        ("[!ab].txt", "b.txt", False, False),
        ("\\#x", "#x", False, True),
        ("\\!x", "!x", False, True),
        ("x ", "x", False, True),
        ("?.py", "a.py", False, True),
    ],
)
def test_rules_of_a_gitignore(rule: str, path: str, folder: bool, ignored: bool) -> None:
    parsed = parse_rule(rule)
    assert parsed is not None
    assert is_ignored([parsed], path, folder) is ignored


@pytest.mark.parametrize("line", ["", "   ", "# a comment"])
def test_blank_lines_and_comments_are_no_rules(line: str) -> None:
    assert parse_rule(line) is None


parts = st.sampled_from(["a", "b", "ab", "c.py", "d.log"])
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
pieces = st.sampled_from(["a", "b", "*", "**", "?", "*.py", "[ab]", "d.log"])
rules = st.builds(
    lambda no, lead, body, end: f"{no}{lead}{'/'.join(body)}{end}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(pieces, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@pytest.mark.skipif(GIT is None, reason="git is not installed")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rules, min_size=1, max_size=4), st.lists(paths, min_size=1, max_size=6, unique=True))
def test_git_ignores_the_same_files(tmp_path: Path, lines: list[str], names: list[str]) -> None:
    root = tmp_path / "repository"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run([str(GIT), "init", "-q", str(root)], check=True, timeout=30)
    made = [name for name in names if not any(other.startswith(f"{name}/") for other in names)]
    tree(root, *made)
    (root / ".gitignore").write_text("\n".join(lines))
    command = [str(GIT), "-C", str(root), "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split(
        "\n"
    )
    assert files(Source(str(root))) == sorted(name for name in listed if name)


def test_a_filter_of_nothing_lets_everything_pass() -> None:
    assert passes_filter("any/thing", (), ())
    assert not passes_filter("any/thing", (), ("any",))
