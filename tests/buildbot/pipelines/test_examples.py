"""The programs of examples/, run by a real master on real agents."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.pipeline.checking import check
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

EXAMPLES = Path(__file__).parents[3] / "examples"
LANGUAGES = EXAMPLES / "pipelines"
COMPILER = "tcc"


def program(language: str, folder: Path) -> list[str]:
    """How the example in `language` is run."""
    if language == "c":
        subprocess.run([COMPILER, "-o", folder / "pipeline", LANGUAGES / "pipeline.c"], check=True)
        return [str(folder / "pipeline")]
    return [*{"go": ["go", "run"]}.get(language, []), str(LANGUAGES / f"pipeline.{language}")]


@pytest.mark.parametrize("language", ["sh", "py", "js", "c", *(["go"] if shutil.which("go") else [])])
def test_all_languages_say_the_same(language: str, tmp_path: Path) -> None:
    """Go only where it is installed: it alone is as large as all other tools together."""
    said = tmp_path / "lines"
    subprocess.run(
        program(language, tmp_path),
        env={"BUILDBOT_PIPELINE": str(said), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=True,
    )
    with said.open() as lines:
        checked = check(lines, types=frozenset({"run"}), requirements=frozenset({"any"}))
    assert (checked.problems, checked.steps) == ([], 4)


def test_their_steps_run(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Two of them beside each other on any agent, the others in the build's folder."""
    builders = "".join(
        f"builder({language!r}, ['column-1'],"
        f" steps.Pipeline(command={program(language, tmp_path)!r}, may_require=['any']))\n"
        for language in ("sh", "py", "js", "c")
    )
    master = make_master(f"c['workers'] = worker.amqp_column('column', workers=1, requires=['make'])\n{builders}")
    make_agent("a1", capabilities=["make"], slots=3)
    requests = [master.force(language) for language in ("sh", "py", "js", "c")]
    for request in requests:
        build = master.finished(request)
        assert build.result == "SUCCESS", master.describe(request)
        assert list(build.steps)[1:3] == ["pipeline", "build"]
        assert {*list(build.steps)[3:5]} == {"check one", "check two"}
        assert list(build.steps)[5] == "report"


def test_a_project_that_holds_all_of_its_build(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Its own master.cfg, with ports and paths of this test; the compiled program is kept by the master."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLES / "pipeline-project", project)
    git = ["git", "-C", str(project), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "hello"]):
        subprocess.run([*git, *command], check=True)
    master = make_master("c['workers'] = []\n", start=False)
    text = (project / "master.cfg").read_text().replace("tcp:8010", f"tcp:{master.www_port}")
    text = text.replace('os.environ["REPOSITORY"]', repr(str(project)))
    (master.folder / "master.cfg").write_text(text.replace("AMQPBroker()", f"AMQPBroker(url={master.url!r})"))
    master.start()
    master.wait_linked()
    make_agent("a1", capabilities=["git"], environment={"CC": COMPILER})
    build = master.finished(master.force("hello"))
    assert build.result == "SUCCESS", master.describe(1)
    assert list(build.steps)[1:] == ["git", "pipeline", "compile", "greets world", "greets Buildbot", "keep"]
    assert master.output(build, "greets Buildbot") == "hello, Buildbot\n"
    assert (master.folder / "kept" / "hello").read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize(
    ("page", "example"), [("shell", "sh"), ("python", "py"), ("javascript", "js"), ("c", "c"), ("go", "go")]
)
def test_the_page_of_each_language_has_the_example_that_is_run(page: str, example: str) -> None:
    """Whole, as it is."""
    text = (EXAMPLES.parent / "docs" / "how-to" / "pipelines" / f"{page}.md").read_text()
    assert f"```{example}\n{(LANGUAGES / f'pipeline.{example}').read_text()}```\n" in text
