"""A fleet moves from RabbitMQ to its master and back, while builds run and wait: none is lost, none runs twice."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.transports.moving.conftest import Places

#: Each build writes its number into the ledger, and prints lines that are known.
CONFIG = """
c['collapseRequests'] = False
c['workers'] = worker.amqp_column("able", workers=6, requires=["able"])
builder("short", c['workers'], steps.ShellCommand(name="work", command=util.Interpolate(
    "echo short-%(prop:buildnumber)s >>{ledger}; "
    "for i in $(seq 1 5); do echo line $i of %(prop:buildnumber)s; sleep 0.2; done; seq 1 3000")))
builder("long", c['workers'], steps.ShellCommand(name="work", command=util.Interpolate(
    "echo long-%(prop:buildnumber)s >>{ledger}; "
    "while [ ! -e {stop} ]; do n=$((n+1)); echo line $n | tee -a {printed}; sleep 0.1; done")))
"""


def config(folder: Path) -> str:
    names = {"ledger": folder / "ledger", "stop": folder / "stop", "printed": folder / "printed"}
    text = CONFIG
    for name, path in names.items():
        text = text.replace("{" + name + "}", str(path))
    return text


def printed_by_short(number: int) -> str:
    return "".join(f"line {i} of {number}\n" for i in range(1, 6)) + "".join(f"{i}\n" for i in range(1, 3001))


class Load:
    """Forces short builds as fast as the fleet takes them, so that some always run and some always wait."""

    def __init__(self, master: BuildMaster, waiting: int) -> None:
        self._master = master
        self._waiting = waiting
        self.requests: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._failure: BaseException | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                open_requests = len(self._master.get("/buildrequests?complete=0&limit=500")["buildrequests"])
                for _ in range(max(0, self._waiting - open_requests)):
                    self.requests.append(self._master.force("short"))
                self._over.wait(0.5)
        except BaseException as error:
            self._failure = error

    def more(self, count: int) -> None:
        """Wait until so many more have ended."""

        def ended() -> int:
            return len(self._master.get("/buildrequests?complete=1&limit=2000")["buildrequests"])

        before = ended()
        wait_for(lambda: ended() >= before + count, 120, lambda: self._master.log()[-3000:])


def check_ledger(folder: Path, master: BuildMaster, long: int, requests: list[int]) -> None:
    """Every command ran exactly once, its log has each byte, and no build was retried."""
    numbers = []
    for request in requests:
        build = master.finished(request, 120)
        assert build.result == "SUCCESS", master.describe(request)
        assert len(master.builds(request)) == 1, f"request {request} was retried: {master.describe(request)}"
        numbers.append(int(build.row["number"]))
        assert master.output(build, "work") == printed_by_short(numbers[-1]), f"the log of short {numbers[-1]}"
    (folder / "stop").touch()
    build = master.finished(long, 120)
    assert (build.result, len(master.builds(long))) == ("SUCCESS", 1), master.describe(long)
    assert master.output(build, "work") == (folder / "printed").read_text()
    ran = Counter((folder / "ledger").read_text().split())
    assert ran == Counter([f"short-{number}" for number in numbers] + [f"long-{build.row['number']}"])
    size = (folder / "printed").stat().st_size
    print(f"ledger: {len(ran)} commands ran once each; the long one printed {size} bytes")


def at(places: Places, place: str) -> set[str]:
    """Agents that are heard there."""
    agents = json.loads(places.call("fleet", "--json", "--no-queues", at=place).output)["agents"]
    return {each["account"] for each in agents}


@pytest.mark.parametrize(
    ("other", "builds"),
    [
        pytest.param("amp", 1, marks=pytest.mark.long),
        *(pytest.param(other, 6, marks=pytest.mark.long) for other in ("amp", "zmq", "ssh", "rabbitmq")),
    ],
    ids=["amp", "amp-long", "zmq", "ssh", "rabbitmq"],
)
def test_a_fleet_moves_there_and_back_under_load(
    make_places: Callable[[str], Places], tmp_path: Path, other: str, builds: int
) -> None:
    """One agent to try it, then all; the master serves both meanwhile. `builds`: that end in each part of it."""
    places = make_places(other)
    master = places.make_master(config(tmp_path), places.rabbitmq)
    master.patience = 120
    agents = [places.make_agent(name, capabilities=["able"]) for name in places.names]
    long = master.force("long")
    master.started(long)
    with Load(master, waiting=builds + 4) as load:
        load.more(builds)
        places.serve(places.office, moving_from=places.rabbitmq)
        assert "a1: has moved" in places.move("a1", to="office").output
        assert at(places, "office") == {"a1"}
        assert at(places, "rabbitmq") == {"a2", "a3", "a4"}
        load.more(builds)
        assert places.move("--match", "any", to="office").output.count("has moved") == 3
        places.serve(places.office)
        assert at(places, "office") == set(places.names)
        load.more(builds)
        places.serve(places.rabbitmq, moving_from=places.office)
        assert places.move("--match", "any", to="rabbitmq").output.count("has moved") == 4
        places.serve(places.rabbitmq)
        assert at(places, "rabbitmq") == set(places.names)
        load.more(builds)
    check_ledger(tmp_path, master, long, load.requests)
    files = [path.read_text() for each in places.accounts.values() for path in each.iterdir()]
    secrets = [
        text.partition("amqp_url")[2].rpartition("@")[0].rpartition(":")[2] for text in files if "ssh:" not in text
    ]
    assert len(secrets) == (4 if other == "ssh" else 8)
    for said in (master.log(), *(agent.log() for agent in agents)):
        assert not [secret for secret in secrets if secret in said], "a token in a log"
    assert all("move_failed" not in agent.log() for agent in agents)
    # where they are told to go, and back; a place that stays while its master changes its configuration loses nobody
    assert [agent.log().count(" link_up ") for agent in agents] == [3] * len(agents)


@pytest.mark.long  # with `make test` the simulator kills masters that serve both places
def test_a_master_that_is_killed_while_it_serves_both_finds_all_its_builds(places: Places, tmp_path: Path) -> None:
    """Sessions at both places are adopted; each command ran once."""
    # the same command after a restart, or an agent would take it for another one
    master = places.make_master(config(tmp_path).replace("-%(prop:buildnumber)s", ""), places.rabbitmq)
    for name in places.names[:2]:
        places.make_agent(name, capabilities=["able"])
    longs = [master.force("long") for _ in range(2)]
    ledger = tmp_path / "ledger"
    wait_for(lambda: ledger.exists() and len(ledger.read_text().split()) == 2, 60, lambda: master.log()[-3000:])
    places.serve(places.office, moving_from=places.rabbitmq)
    places.move("a1", to="office")
    master.kill()
    master.start()
    wait_for(lambda: all(len(master.builds(each)) == 2 for each in longs), 60, lambda: master.log()[-4000:])
    time.sleep(1)  # a build that would start anew, starts
    (tmp_path / "stop").touch()
    for each in longs:
        assert master.finished(each, 120).result == "SUCCESS", master.describe(each)
    assert ledger.read_text().split() == ["long", "long"]


@pytest.mark.long
def test_an_agent_that_moved_comes_back_there_until_it_is_given_another_url(places: Places, tmp_path: Path) -> None:
    master = places.make_master(config(tmp_path), places.rabbitmq)
    agent = places.make_agent("a1", capabilities=["able"])
    wait_for(lambda: at(places, "rabbitmq") == {"a1"}, 60, agent.log)
    places.serve(places.office, moving_from=places.rabbitmq)
    places.move("a1", to="office")
    moved = agent.folder / "state" / "moved.json"
    assert stat.S_IMODE(moved.stat().st_mode) == 0o600
    agent.kill_main()
    agent.start()
    wait_for(lambda: at(places, "office") == {"a1"}, 60, agent.log)
    doctor = subprocess.run(
        [sys.executable, "-m", "worker_agent", *agent.arguments, "doctor"],
        env={**os.environ, "WORKER_AGENT_URL": agent.url},
        capture_output=True, text=True, check=False, timeout=60,
    ).stdout  # fmt: skip
    assert "an operator has moved this agent to amps://127.0.0.1:" in doctor
    assert "user a1 at amps://127.0.0.1:" in doctor
    assert "qualifies for 1 of 1: able" in doctor
    agent.stop()
    agent.url = agent.url.replace("127.0.0.1", "localhost")  # a URL that was given newly
    agent.start()
    wait_for(lambda: at(places, "rabbitmq") == {"a1"}, 60, agent.log)
    assert "move_forgotten" in agent.log()
    assert not moved.exists()
    assert master.running


def test_who_cannot_log_in_there_stays_and_who_has_no_file_is_named(places: Places, tmp_path: Path) -> None:
    """Nobody is told anything before all that can be checked is right."""
    places.make_master(config(tmp_path), places.rabbitmq)
    agent = places.make_agent("a1", capabilities=["able"])
    wait_for(lambda: at(places, "rabbitmq") == {"a1"}, 60, agent.log)
    refused = places.move("a1", to="office", expect=1).output
    assert "no master that listens for its agents itself runs in" in refused
    places.serve(places.office, moving_from=places.rabbitmq)
    file = places.accounts["office"] / "a1.toml"
    right = file.read_text()
    file.unlink()
    assert "has no file for a1: `master-bridge enroll NAME" in places.move("a1", to="office", expect=1).output
    file.write_text(right.replace("//a1:", "//a2:"))
    assert "sessions belong to an account" in places.move("a1", to="office", expect=1).output
    file.write_text(right.replace("//a1:", "//a1:wrong"))
    late = places.call(
        "move", "a1", "--accounts", str(file.parent), "--to", str(places.master_folder), "--wait", "8",
        at="rabbitmq", expect=1,
    ).output  # fmt: skip
    assert "a1: was not heard there within 8 s" in late
    wait_for(lambda: "move_failed" in agent.log(), 60, agent.log)
    assert at(places, "rabbitmq") == {"a1"}
    assert not (agent.folder / "state" / "moved.json").exists()
    file.write_text(right)
    places.move("a1", to="office")
    assert at(places, "office") == {"a1"}
