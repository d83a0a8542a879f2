"""Version specifiers: the translation means the same to `packaging` and to the solver."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from rattler import MatchSpec, VersionSpec
from rattler import Version as CondaVersion

from ai_runner_base.channel import versions
from ai_runner_base.errors import CallerError

pytestmark = pytest.mark.unit

releases = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
epochs = st.sampled_from(["", "", "", "1!"])
finals = st.builds(lambda e, r, p: f"{e}{r}{p}", epochs, releases, st.sampled_from(["", "", "", ".post1"]))
suffixes = st.sampled_from(["", "", ".post1", ".post2", "a1", "b2", "rc1", ".dev1", ".dev2"])
any_versions = st.builds(lambda e, r, s: f"{e}{r}{s}", epochs, releases, suffixes)


@st.composite
def clauses(draw: st.DrawFn) -> str:
    operator = draw(st.sampled_from(["==", "!=", "<=", ">=", "<", ">", "~=", "==*", "!=*", "==="]))
    if operator in ("==*", "!=*"):
        return f"{operator[:2]}{draw(epochs)}{draw(releases)}.*"
    version = draw(finals)
    if operator == "~=":
        assume(len(Version(version).release) > 1)
    return f"{operator}{version}"


def conda_matches(spec: str, version: Version) -> bool:
    return not spec or VersionSpec(spec).matches(CondaVersion(versions.conda_version(version)))


@given(st.lists(clauses(), min_size=1, max_size=3), any_versions)
def test_a_translated_specifier_matches_the_same_versions(parts: list[str], text: str) -> None:
    specifiers, version = SpecifierSet(",".join(parts)), Version(text)
    # `===` compares texts in PEP 440; of post-releases of a longer or shorter spelling conda takes a few more.
    assume(not any(part.startswith("===") for part in parts) or version.post is None)
    assume(not (version.post is not None and any(_same_release(part, version) for part in parts)))
    if any(part.startswith("===") and part[3:] != text and Version(part[3:]) == version for part in parts):
        return
    assert conda_matches(versions.to_conda(specifiers), version) == specifiers.contains(
        text, prereleases=True
    )


def _same_release(part: str, version: Version) -> bool:
    """Say whether a `>` names the release of a post-release in another spelling, such as 2.0 for 2.0.0.post1."""
    if not part.startswith(">") or part.startswith(">="):
        return False
    bound = Version(part[1:])
    return bound.release != version.release and Version(bound.base_version) == Version(version.base_version)


@given(st.lists(clauses(), min_size=1, max_size=3))
def test_strict_parsers_take_every_translation(parts: list[str]) -> None:
    spec = versions.to_conda(SpecifierSet(",".join(parts)))
    assert str(MatchSpec(f"name {spec}", strict=True)).startswith("name ")


conda_clauses = st.one_of(
    st.builds(lambda o, r: f"{o}{r}", st.sampled_from(["==", "!=", "<=", ">=", "<", ">"]), releases),
    st.builds(lambda r: f"{r}.*", releases),
    st.builds(lambda r: f"={r}", releases),
    st.builds(lambda r: f"!={r}.*", releases),
    st.builds(lambda r: f"<{r}.0a0", releases),
)


@given(st.lists(conda_clauses, min_size=1, max_size=3), releases)
def test_the_way_back_matches_the_same_final_versions(parts: list[str], text: str) -> None:
    spec = ",".join(parts)
    assert versions.to_pep440(spec).contains(text) == VersionSpec(spec).matches(CondaVersion(text))


@given(any_versions, any_versions)
def test_versions_sort_alike(left: str, right: str) -> None:
    one, other = Version(left), Version(right)
    # Conda compares the parts between dots, so a pre-release is only comparable to one of equally many parts.
    assume(len(one.release) == len(other.release))
    conda = CondaVersion(versions.conda_version(one)) < CondaVersion(versions.conda_version(other))
    assert conda == (one < other)


@pytest.mark.parametrize(
    ("pep440", "conda"),
    [
        ("", ""),
        ("~=1.4.2", ">=1.4.2,<1.5dev0"),
        ("<2", "<2dev0"),
        ("<2.10.0", "<2.10dev0"),
        (">=2.0,<3", ">=2.0,<3dev0"),
        (">2.0", ">2.0,!=2.0.post.*"),
        ("==1.4.*", "1.4.*"),
        ("!=1.4.*", "!=1.4.*"),
        ("===1.0", "==1.0"),
        ("==2.0+cpu", "==2.0"),
        (">=1!2.0", ">=1!2.0"),
        ("<2.0rc1", "<2.0rc1"),
    ],
)
def test_the_table_of_the_docs(pep440: str, conda: str) -> None:
    assert versions.to_conda(SpecifierSet(pep440)) == conda


@pytest.mark.parametrize(
    ("conda", "pep440"),
    [
        ("*", ""),
        ("", ""),
        (">=1.26,<3", ">=1.26,<3"),
        ("1.4.*", "==1.4.*"),
        ("=1.4", "==1.4.*"),
        ("==1.4", "==1.4"),
        ("<2.0a0", "<2.0"),
        ("<2dev0", "<2"),
        ("~=1.4", "~=1.4"),
        (">=1.2.*", ">=1.2"),
    ],
)
def test_conda_idioms_on_the_way_back(conda: str, pep440: str) -> None:
    assert versions.to_pep440(conda) == SpecifierSet(pep440)


@pytest.mark.parametrize("spec", [">=1,<2|>=3", "9e", "(>=1,<2)", "~~1", "===foo-bar"])
def test_what_an_index_cannot_be_asked_is_refused_by_name(spec: str) -> None:
    with pytest.raises(CallerError, match="version spec") as caught:
        versions.to_pep440(spec)
    assert spec in caught.value.message


def test_arbitrary_equality_with_no_version_is_refused() -> None:
    with pytest.raises(CallerError, match="is no version"):
        versions.to_conda(SpecifierSet("===spam"))


@pytest.mark.parametrize(
    ("text", "build"),
    [("2.13.0", ""), ("2.13.0+cpu", "cpu"), ("2.13.0+cu128", "cuda128"), ("1.0+ubuntu.1", "ubuntu_1")],
)
def test_the_local_part_goes_into_the_build_string(text: str, build: str) -> None:
    assert versions.local_build(Version(text)) == build
    assert "+" not in versions.conda_version(Version(text))
