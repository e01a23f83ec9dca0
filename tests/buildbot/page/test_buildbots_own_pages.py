"""What Buildbot's own pages say of places, agents and waiting builds, in a real browser, on one real master."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness.agents import Agent
from tests.harness.browser import Page, browser
from tests.harness.master import Build, BuildMaster
from tests.harness.ways import Way

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
c['workers'] += worker.amqp_column("mac", workers=1, requires=["os==darwin"])
c['collapseRequests'] = False
c['www']['ui_default_config'] = {"Links.build_link_template": "%(prop:agent) (%(build_number))"}
hold = steps.ShellCommand(name="hold", command="while [ ! -e {stop} ]; do sleep 0.1; done")
builder("gtk", ["gtk-1", "gtk-2"], hold)
builder("mac", ["mac-1"], steps.ShellCommand(command=["true"]))
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One agent that can do gtk; a build runs on it, another waits for it. Nobody serves "mac"."""

    page: Page
    master: BuildMaster
    runs: Build
    waits: Build

    def path(self, build: Build) -> str:
        return f"/builders/{build.row['builderid']}/builds/{build.row['number']}"


@pytest.fixture(scope="module")
def scene(
    make_way: Callable[[Path], Way], master_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("pages")
    way = make_way(folder / "master")
    url, entrance = way.master(folder / "master"), way.entrance()
    master = BuildMaster(folder / "master", CONFIG.replace("{stop}", str(folder / "stop")), url=url)
    agent = Agent(
        folder / "agent", entrance.url, name="new", capabilities=["gtk=3.24", "python=3.11"],
        environment=entrance.environment,
    )  # fmt: skip
    try:
        master.create(master_database)
        master.start()
        master.wait_linked()
        agent.start()
        first = master.force("gtk")
        master.step_running(first, "hold")
        waits = master.started(master.force("gtk"))
        with browser(folder) as page:
            yield Scene(page=page, master=master, runs=master.started(first), waits=waits)
    finally:
        (folder / "stop").touch()
        agent.stop(timeout=10)
        master.stop()


def cells(page: Page, row: str) -> list[str]:
    """Of the worker's row on the page that is open."""
    return next((text.split("\t") for text in page.texts("tbody tr") if row in text.split("\t")), [])


def disconnected(page: Page) -> list[bool]:
    """Of each row that is shown: has it the red cross?"""
    found: list[bool] = page.driver.execute_script(
        "return [...document.querySelectorAll('tbody tr')].map((row) => row.querySelector('.text-danger') !== null)"
    )
    return found


def test_an_idle_column_is_no_outage_and_one_that_nobody_serves_is(scene: Scene) -> None:
    """On the workers page: what each is, whether it is served, and why it is not."""
    page = scene.page
    page.open(scene.master, "/workers")
    page.wait(lambda: disconnected(page) == [False, False, True], "two workers that are well and one that is not")
    names = [text.split("\t")[2] for text in page.texts("tbody tr")]
    assert names == ["gtk-1", "gtk-2", "mac-1"]
    assert "some qualify and take work" in cells(page, "gtk-2")
    assert "none qualifies: 1 agent lacks os" in cells(page, "mac-1") or "none qualifies: new lacks os" in cells(
        page, "mac-1"
    ), cells(page, "mac-1")
    for name, signature in (("gtk-1", "gtk>=3"), ("gtk-2", "gtk>=3"), ("mac-1", "os==darwin")):
        assert f"of the column {signature}, for one build at a time" in cells(page, name)
        assert "not a machine: each build names its agent (first step, property `agent`)" in cells(page, name)


def test_a_workers_page_leads_to_the_agents_that_serve_it(scene: Scene) -> None:
    """Its link opens the fleet's page, which shows those that qualify."""
    page = scene.page
    page.open(scene.master, f"/workers/{scene.master.worker('gtk-1')['workerid']}")
    page.wait_text("tbody tr", "of the column gtk>=3")
    page.click("td a[href*='#/fleet']")
    page.wait_agents(["new"])
    assert page.attributes("[aria-label=requirement]", "value") == ["gtk>=3"]
    page.open(scene.master, f"/workers/{scene.master.worker('mac-1')['workerid']}")
    page.wait_text("tbody tr", "of the column os==darwin")
    page.click("td a[href*='#/fleet']")
    page.wait_text("[data-count]", "0 of 1")


def test_a_build_and_its_first_step_name_the_agent(scene: Scene) -> None:
    """With what it has of what was asked for and how long it was waited for; its link leads to the agent, its log tells
    each capability on a line."""
    page = scene.page
    page.open(scene.master, scene.path(scene.runs))
    page.wait_text(".bb-build-summary-details", "building on new")
    page.wait_text("#bb-step-0", "agent new with gtk 3.24; waited ")
    page.click("#bb-step-0 .bb-build-summary-step-details")
    page.wait_text("#bb-step-0", "  python 3.11")
    assert "agent: new" in page.texts("#bb-step-0")[0]
    page.driver.get(page.attributes("#bb-step-0 a[href*='#/fleet/agent']", "href")[0])
    page.driver.refresh()
    page.wait_text("h2", "new busy")


def test_the_worker_tab_of_a_build_names_no_machine(scene: Scene) -> None:
    page = scene.page
    page.open(scene.master, scene.path(scene.runs))
    page.wait_text("[role=tab]", "Worker: gtk-")
    page.driver.execute_script(
        "[...document.querySelectorAll('[role=tab]')].find((it) => it.innerText.startsWith('Worker')).click()"
    )
    page.wait_text("td", '"not a machine: each build names its agent (first step, property `agent`)"')
    page.wait_text("td", '"of the column gtk>=3, for one build at a time"')


def test_a_waiting_build_is_told_from_a_running_one(scene: Scene) -> None:
    """On the home page, the builders' (badges, by what the documentation says of them), the builder's and its own."""
    page = scene.page
    waits = "waits for an agent with gtk>=3 since"
    page.open(scene.master, "/")
    page.wait(lambda: len(page.texts(".bb-buildsticker")) == 2, "two builds")
    page.wait_text(".bb-buildsticker", waits)
    for text in page.texts(".bb-buildsticker"):
        assert ("building on new" in text) == ("gtk/1" in text), text
        assert (waits in text) == ("gtk/2" in text), text
    page.open(scene.master, "/builders")
    badges = "[data-bb-test-id=build-link]"
    page.wait(lambda: [text.strip() for text in page.texts(badges)] == ["(2)", "new (1)"], "badges with agents")
    page.open(scene.master, f"/builders/{scene.runs.row['builderid']}")
    page.wait_text("tr", "building on new")
    page.wait_text("tr", f"{waits}")
    page.open(scene.master, scene.path(scene.waits))
    page.wait_text(".bb-build-summary-details", waits)
    page.wait_text("#bb-step-0", waits)
