"""The fleet's page in a real browser, on a real master with real agents."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aio_pika
import pytest
from click.testing import CliRunner

from contracts import topology
from contracts.frames.codec import pack
from contracts.frames.frames import Carried, Say, Welcome
from contracts.operations.office_url import SSH, is_office_url, parse_office_url
from master_bridge.cli import main
from tests.harness.agents import Agent
from tests.harness.browser import Page
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.harness.ways import SEVERAL_MASTERS
from tests.transports.wires.door import hello, next_frame, opened, run

MakeMaster = Callable[..., BuildMaster]
MakeAgent = Callable[..., Agent]

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
c['workers'] += worker.amqp_column("mac", workers=1, requires=["os==darwin"])
builder("gtk", ["gtk-1", "gtk-2"], steps.ShellCommand(command="while [ ! -e {stop} ]; do sleep 0.1; done"))
builder("mac", ["mac-1"], steps.ShellCommand(command=["true"]), collapseRequests=False)
"""
#: Everybody looks, Ann gives orders.
ANN = """
c['www']['auth'] = util.UserPasswordAuth({"ann": "secret", "bob": "secret"})
c['www']['authz'] = util.Authz(
    allowRules=[util.FleetEndpointMatcher(role="operators"), util.AnyControlEndpointMatcher(role="admins")],
    roleMatchers=[util.RolesFromUsername(roles=["operators"], usernames=["ann"])])
"""


def config(tmp_path: Path) -> str:
    return CONFIG.replace("{stop}", str(tmp_path / "stop"))


def test_it_shows_agents_columns_and_what_waits(
    make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path
) -> None:
    """Which agent runs what; what a column lacks; why a request waits. It changes without a reload."""
    master = make_master(config(tmp_path))
    make_agent("new", capabilities=["gtk=3.24"])
    make_agent("old", capabilities=["gtk=2.24"])
    build = master.force("gtk")
    master.force("mac")
    master.force("mac")
    page.open(master)
    page.wait_agents(["new", "old"])
    page.wait_text("tr[data-agent=new]", "gtk #1 for")
    page.wait_text("tr[data-agent=new]", "gtk 3.24")
    page.wait_text("tr[data-agent=new]", "1 / 1")
    assert page.attributes("tr[data-agent]", "data-state") == ["busy", "idle"]
    page.wait_text("[data-summary=waiting]", "2")

    page.click("[data-tab=columns]")
    page.wait_text("tr[data-column='os==darwin']", "nobody: 2 agents lack os")
    assert page.texts("tr[data-column='gtk>=3'] td") == ["gtk>=3", "gtk", "2", "0", "", "1", "1", "0", ""]
    page.click("[data-tab=waiting]")
    page.wait_text("tr[data-request='mac #1']", "no agent offers os==darwin; nearest: 2 agents lack os")
    page.wait_text("tr[data-request=mac]", "Buildbot has not started it: all places of its builder are taken")

    page.click("[data-tab=agents]")
    (tmp_path / "stop").touch()
    assert master.finished(build).result == "SUCCESS"
    page.wait_text("tr[data-agent=new]", "idle")
    page.click("tr[data-agent=new] a")
    page.wait_text("[data-part=builds]", "gtk #1")
    page.wait_text("[data-part=states]", "busy")
    page.wait_text("[data-part=capabilities]", "fixed --capability gtk=3.24")
    page.find("rect.amqp-day-busy")


def test_what_waits_says_when_it_will_start(
    make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path
) -> None:
    """From what builds of the builder took before: on the page, in the build's text, and in `why` (what the master
    tells the fleet); so does what Buildbot holds back, for want of a place or of a lock, and what nobody can tell."""
    master = make_master(
        """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
c['workers'] += worker.amqp_column("free", workers=2, requires=["gtk>=3"])
c['collapseRequests'] = False
db = util.MasterLock("db", maxCount=9)
places = ["gtk-1", "gtk-2"]
wait = steps.ShellCommand(command="while [ ! -e %s ]; do sleep 0.1; done")
builder("gtk", places, wait, locks=[db.access("counting")])
builder("alone", ["free-1"], steps.ShellCommand(command=["true"]), locks=[db.access("exclusive")])
builder("never", ["free-2"], steps.ShellCommand(command=["true"]), canStartBuild=lambda *_: False)
"""
        % (tmp_path / "stop")
    )
    make_agent("a", capabilities=["gtk=3.24"])
    first = master.force("gtk")
    master.started(first)
    time.sleep(4)  # what builds of this builder take
    (tmp_path / "stop").touch()
    master.finished(first)
    (tmp_path / "stop").unlink()
    master.force("gtk")
    waits = master.force("gtk")
    master.started(waits)
    crowded, locked, never = master.force("gtk"), master.force("alone"), master.force("never")
    page.open(master, "/fleet?tab=waiting")
    page.wait_text("tr[data-request='gtk #3']", "the one agent that qualifies is busy")
    page.wait_text("tr[data-request=alone]", "lock 'db' of its builder is held by gtk #2")
    page.wait_text("tr[data-request=never]", "canStartBuild of master.cfg keeps it from it: when it starts cannot be")
    for title in ("gtk #3", "gtk", "alone"):
        row = f"tr[data-request='{title}']"
        page.wait(lambda row=row: re.search(r"in \d+ s|now", page.texts(row)[0]), f"an expected start of {title}")
    page.wait_text("tr[data-request=gtk]", "all places of its builder are taken")
    page.open(master, f"/builders/{master.builder_id('gtk')}/builds/3")
    page.wait_text("#bb-step-0", "0 idle; expected to start at ")
    starts = r"expected to start (at \d\d:\d\d:\d\d \(in .* to .*\)|now)"
    for request, reason in (
        (waits, "waits since"),
        (crowded, "Buildbot has not started it: all places of its builder are taken"),
        (locked, "Buildbot has not started it: lock 'db' of its builder is held by gtk #2"),
    ):
        explained = why(master, request)
        assert reason in explained
        assert "it is number 1 in its line" in explained
        assert re.search(starts, explained), explained
    assert "when it starts cannot be told" in why(master, never)
    (tmp_path / "stop").touch()


def test_the_link_of_what_an_agent_runs_leads_to_the_build(
    make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path
) -> None:
    master = make_master(config(tmp_path))
    make_agent("new", capabilities=["gtk=3.24"])
    master.force("gtk")
    page.open(master)
    page.wait_text("tr[data-agent=new] .amqp-work", "gtk #1")
    page.click("tr[data-agent=new] .amqp-work a")
    page.wait(lambda: page.driver.current_url.endswith("/builds/1"), "the build's page")
    page.wait_text("body", "gtk/1")
    (tmp_path / "stop").touch()


def test_it_sorts_filters_and_groups(
    make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path
) -> None:
    master = make_master(config(tmp_path))
    make_agent("a", capabilities=["gtk=3.24", "python=3.11"], slots=2)
    make_agent("b", capabilities=["gtk=2.24"])
    make_agent("c", capabilities=["wx=3.2"], slots=3)
    page.open(master)
    page.wait_agents(["a", "b", "c"])
    page.click("[data-sort=name]")
    page.wait_agents(["c", "b", "a"])
    page.click("[data-sort=capacity]")
    page.wait_agents(["b", "a", "c"])
    page.type("filter", "GTK guest")
    page.wait_agents(["b", "a"])
    page.type("filter", "wx 3")
    page.wait_agents(["c"])
    page.type("filter", "")
    page.type("requirement", "gtk>=3, python")
    page.wait_agents(["a"])
    page.type("requirement", "gtk>=>")
    page.wait_text("[role=alert]", "gtk>=>")
    page.wait_agents(["b", "a", "c"])
    page.click(".amqp-filters input[type=checkbox]")
    page.wait_text(".amqp-group", "gtk>=3 (1)")
    page.wait_text(".amqp-group", "serves no column of these masters (2)")


def test_an_order_by_click_reaches_the_agent_and_is_kept(
    make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path
) -> None:
    """Pause and resume, by whom, why, and that it came to pass; also after a restart of the master."""
    master = make_master(config(tmp_path) + ANN)
    first, second = (make_agent(name, capabilities=["gtk=3.24"]) for name in ("first", "second"))
    page.open(master, user="ann")
    page.wait_agents(["first", "second"])
    page.click("[aria-label='choose first']")
    assert page.find("[data-order=drain]").get_attribute("disabled") is not None, "an order has a reason"
    page.type("reason", "new disk")
    page.click("[data-order=drain]")
    page.wait_text("[role=status]", "Pause: told 1")
    page.wait_text("tr[data-agent=first]", "paused")
    page.wait_text("tr[data-agent=first]", "new disk (ordered by ann)")
    assert "idle" in page.texts("tr[data-agent=second]")[0]
    wait_for(lambda: "new disk (ordered by ann)" in first.log(), 20, first.log)
    assert "new disk" not in second.log()

    page.click("[data-tab=orders]")
    page.wait_text("tbody tr", "ann\tPause\tfirst\tnew disk\tdone")
    master.stop()
    master.start()
    master.wait_linked()
    page.open(master, "/fleet?tab=orders", user="ann")
    page.wait_text("tbody tr", "ann\tPause\tfirst\tnew disk\tdone")
    page.click("[data-tab=agents]")
    page.wait_agents(["first", "second"])
    page.click("[aria-label='choose all that are shown']")
    page.type("reason", "disk is in")
    page.click("[data-order=resume]")
    page.wait_text("tr[data-agent=first]", "idle")


def test_a_viewer_without_rights_cannot_order(
    make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path
) -> None:
    """No button is there; what is sent all the same, by a script or from another site's page, is refused."""
    master = make_master(config(tmp_path) + ANN)
    agent = make_agent("first", capabilities=["gtk=3.24"])
    page.open(master, user="bob")
    page.wait_agents(["first"])
    page.wait_text("[data-summary=agents]", "1")
    assert page.all("[data-order]") == []
    agent_id = page.fetch("fleet")["agents"][0]["id"]
    order = {"order": "stop", "agents": [agent_id], "reason": "because"}
    assert page.post("orders", order) == [403, {"error": "you need to have role 'operators'"}]

    page.open(master, user="ann")
    page.wait_agents(["first"])
    status, answer = page.post("orders", order, content_type="text/plain")
    assert (status, "Content-Type" in answer["error"]) == (400, True)
    for wrong, word in (
        ({**order, "order": "burn"}, "one of drain"),
        ({**order, "agents": []}, "list of ids"),
        ({**order, "agents": [agent_id] * 1001}, "at most 1000"),
        ({**order, "reason": " "}, "say why"),
        ([order], "JSON object"),
    ):
        status, answer = page.post("orders", wrong)
        assert (status, word in answer["error"]) == (400, True), answer
    assert page.post("orders", {**order, "agents": ["guest/nobody"]}) == [200, {"told": []}]
    for origin, expected in (("http://evil.example", 400), (f"http://127.0.0.1:{master.www_port}", 403), (None, 403)):
        headers = {"Content-Type": "application/json", **({"Origin": origin} if origin else {})}
        assert master.post("/plugins/amqp_fleet/orders", json.dumps(order).encode(), headers) == expected
    assert agent.running
    assert "stop" not in agent.log()


def test_foreign_text_is_text(make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path) -> None:
    """Names that are markup, scripts, control characters: of agents, capabilities and in dead messages."""
    master = make_master(config(tmp_path))
    name = "<img src=x onerror=document.title='taken'>\x1b]0;x\x07"
    agent = make_agent(name, capabilities=["gtk=<script>alert(1)</script>"])
    run(_bury(agent.url, "<img src=x onerror=document.title='taken'>", tmp_path / "master-m1"))
    page.open(master)
    page.wait_agents([name.replace("\x1b", "\\x1b").replace("\x07", "\\x07")])
    page.click("tr[data-agent] a")
    page.wait_text("h2", "<img src=x")
    page.open(master, "/fleet?tab=dead")
    page.wait_text("p", "1 of <img src=x onerror")
    page.click("table button")
    page.wait_text("pre", "no JSON \\x1b[31m <b>")
    assert page.all("img[src=x]") == []
    assert page.driver.title != "taken"


def why(master: BuildMaster, request: int) -> str:
    """What `master-bridge why` says."""
    asked = CliRunner().invoke(main, ["why", str(request)], env=master.operators_way)
    assert asked.exit_code == 0, asked.output
    return asked.output


async def _bury(url: str, reason: str, folder: Path) -> None:
    """As an agent's account can. `folder`: the master's."""
    if is_office_url(url):
        address = parse_office_url(url)
        wire = await opened(replace(address, host=str(folder)) if address.wire == SSH else address)
        await wire.send(hello(address.user, address.token))
        assert isinstance(await next_frame(wire), Welcome)
        carried = Carried(type="", content_type="", headers={topology.DEAD_REASON_HEADER: reason})
        await wire.send(pack(Say(number=1, to="dead", key="cap.gtk", message=carried), b"no JSON \x1b[31m <b>"))
        await next_frame(wire)
        return
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(topology.DEAD)
        message = aio_pika.Message(b"no JSON \x1b[31m <b>", headers={topology.DEAD_REASON_HEADER: reason})
        await exchange.publish(message, "")


def test_silent_and_leaving_agents_are_shown(
    make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path
) -> None:
    master = make_master(config(tmp_path))
    silent = make_agent("silent", capabilities=["gtk=3.24"])
    leaving = make_agent("leaving", capabilities=["gtk=3.24"])
    page.open(master)
    page.wait_agents(["leaving", "silent"])
    silent.kill_main()
    leaving.stop()
    page.wait_text("tr[data-agent=leaving]", "leaving")
    page.wait_text("tr[data-agent=silent]", "silent")
    page.wait_text("tr[data-agent=silent]", "last heard")
    page.click("[data-tab=columns]")
    page.wait_text("tr[data-column='gtk>=3']", "0 (+")


@pytest.mark.rabbitmq(SEVERAL_MASTERS)
def test_each_master_shows_the_whole_fleet(
    make_master: MakeMaster, make_agent: MakeAgent, page: Page, tmp_path: Path
) -> None:
    """Agents, what they run for the other master, its columns, and what waits there."""
    make_master(config(tmp_path)).force("mac")
    second = make_master('c["workers"] = worker.amqp_column("any", workers=1)\nbuilder("any", ["any-1"])', name="m2")
    make_agent("new", capabilities=["gtk=3.24"])
    page.open(second)
    page.wait_agents(["new"])
    page.click("[data-tab=waiting]")
    page.wait_text("tr[data-request='mac #1']", "of master m1")
    page.click("[data-tab=columns]")
    page.wait_text("tr[data-column='gtk>=3']", "of master m1")
    (tmp_path / "stop").touch()


def test_a_broker_out_of_reach_is_said(make_master: MakeMaster, page: Page, tmp_path: Path) -> None:
    master = make_master(config(tmp_path), url="amqp://guest:guest@127.0.0.1:9/", start=False)
    master.start()
    page.open(master)
    page.wait_text(".alert-warning", "The broker is out of reach")
    page.click("[data-tab=dead]")
    page.wait_text("p", "the broker is out of reach")
