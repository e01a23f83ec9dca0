"""What leaves the checkout: the metadata, the sdist, a release, and what `make venv` installs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from tests.harness.tree import ROOT, project_files

NAME = "buildbot-amqp"


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=n@example.org")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree as a repository of its own, with one news fragment at least."""
    folder = tmp_path_factory.mktemp("repository")
    for name in project_files():
        if name != "PKG-INFO":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "news/+of-this-test.fixed.md").write_text("A fault of this test is mended.\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "-q", "-m", "as it is")
    return folder


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", str(repository), "checkout")
    return tmp_path / "checkout"


def release(checkout: Path, version: str) -> subprocess.CompletedProcess[str]:
    who = {f"GIT_{role}_{what}": "n@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        ["deploy/dev/release.sh", version], cwd=checkout, env={**os.environ, **who, "PYTHON": sys.executable},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_release_is_the_changelog_two_files_a_commit_and_a_tag(checkout: Path, tmp_path: Path) -> None:
    done = release(checkout, "9.9.9")
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(checkout, "status", "--porcelain") == ""
    assert git(checkout, "rev-parse", "v9.9.9^{commit}") == git(checkout, "rev-parse", "HEAD")
    headings = re.findall(r"^## (.*)", (checkout / "CHANGELOG.md").read_text(), flags=re.M)
    assert headings[0].startswith("9.9.9 ")
    assert "A fault of this test is mended." in (checkout / "CHANGELOG.md").read_text()
    assert [file.name for file in (checkout / "news").iterdir()] == ["README.md"]

    with ZipFile(checkout / "dist/buildbot_amqp-9.9.9-py3-none-any.whl") as wheel:
        told = Metadata.from_email(wheel.read("buildbot_amqp-9.9.9.dist-info/METADATA"), validate=False)
        held = wheel.namelist()
    assert str(told.version) == "9.9.9"
    assert {name.partition("/")[0] for name in held} == {
        *packages(), "buildbot_amqp-9.9.9.dist-info", "buildbot_amqp-9.9.9.data",
    }  # fmt: skip
    shared = {name.partition(".data/data/")[2] for name in held if ".data/data/" in name}
    assert {"share/man/man1/master-bridge-fleet.1", "share/bash-completion/completions/worker-agent"} <= shared
    description = told.description or ""
    links = re.findall(r"\]\(([^)]*)\)", description)
    assert [link for link in links if not link.startswith(("https://", "#"))] == [], "an index has no files beside it"
    named = re.findall(r"\(`([\w./-]+\.md|LICENSE)`\)", description)
    assert len(named) >= 8
    assert [path for path in named if not (checkout / path).is_file()] == [], "paths are those of the sdist"

    with tarfile.open(checkout / "dist/buildbot_amqp-9.9.9.tar.gz") as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}
    tracked = set(git(checkout, "ls-files").splitlines())
    assert tracked - packed == set(), "the sdist holds docs, examples, deploy and tests"


@pytest.mark.parametrize(
    ("version", "spoilt", "said"),
    [
        ("next", None, "looks like 0.1.0"),
        ("9.9.9", "a change", "not committed"),
        ("9.9.9", "the tag", "the tag v9.9.9 exists"),
        ("9.9.9", "no news", "no news fragment"),
        ("9.9.9", "no build", "README.md"),
    ],
)
def test_what_is_no_release_changes_nothing(checkout: Path, version: str, spoilt: str | None, said: str) -> None:
    if spoilt == "a change":
        (checkout / "README.md").write_text("half a sentence")
    elif spoilt == "the tag":
        git(checkout, "tag", "v9.9.9")
    elif spoilt == "no news":
        git(checkout, "rm", "-q", *(f"news/{file.name}" for file in (checkout / "news").glob("+*.md")))
        git(checkout, "commit", "-q", "-m", "nothing to tell")
    elif spoilt == "no build":
        git(checkout, "mv", "README.md", "READ.md")
        git(checkout, "commit", "-q", "-m", "what the build needs is not there")
    before = (git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain"))
    done = release(checkout, version)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert (git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain")) == before


def packages() -> set[str]:
    return {name.partition("/")[0] for name in project_files() if name.endswith("/py.typed")}


def test_the_lock_has_what_development_needs() -> None:
    """In versions that `pyproject.toml` allows, with hashes, and without the name of an index."""
    text = (ROOT / "requirements-dev.lock").read_text()
    assert "://" not in text
    assert "--index-url" not in text
    locked = [Requirement(line.rstrip(" \\")) for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert text.count(" \\\n    --hash=") >= len(locked), "each has a hash"
    wanted = [Requirement(text) for text in metadata.requires(NAME) or ()]
    for requirement in wanted:
        extras = ("dev", "master", "worker", "tls", "signing")
        if requirement.name == NAME or not any(_for(requirement, extra) for extra in extras):
            continue
        found = [one for one in locked if one.name.lower() == requirement.name.lower() and _for(one, "")]
        assert found, f"{requirement} is not in requirements-dev.lock: run `make lock`"
        version = next(iter(found[0].specifier)).version
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: locked is {version}"


def _for(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def test_the_version_stands_in_one_place() -> None:
    version = metadata.version(NAME)
    pattern = re.compile(rf'(__version__|VERSION|version)\s*=\s*"?{re.escape(version)}\b')
    looked_at = [name for name in project_files() if re.search(r"(\.py|\.toml|Dockerfile|\.yml)$", name)]
    told = [name for name in looked_at if pattern.search((ROOT / name).read_text())]
    samples = ("tests/", "contracts/vectors/")
    assert [name for name in told if not name.startswith(samples)] == ["pyproject.toml"]
