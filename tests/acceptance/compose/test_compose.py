"""`docker compose up` for real: images, order, TLS, both columns, and scaling under load without losing a build."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.compose.bases import broker_image, provide, python_image
from tests.acceptance.compose.daemon import DockerDaemon
from tests.acceptance.compose.project import ComposeProject, Event, Events, labels
from tests.harness.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.root, pytest.mark.timeout(1800)]

WORKER, WORKER_C, MASTER = "buildbot-amqp-worker:local", "buildbot-amqp-worker-c:local", "buildbot-amqp-master:local"
IMAGES = (WORKER, WORKER_C, MASTER)
#: Of the agent and of its commands in a worker's container, and of the master in its own.
AGENT, BUILD, BUILDMASTER = "10001", "10002", "10002"
SERVICES = ("broker", "master", "worker", "worker-c")
MIB = 1024 * 1024
#: What the slim image may add to its Python base, MiB: 14 the agent and its libraries, 134 git with Perl.
SLIM_ADDS = 180
#: Builds of the load; the column has five slots.
BUILDS = 14


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerDaemon]:
    """A private Docker that has the base images, and no other."""
    folder = tmp_path_factory.mktemp("docker")
    running = DockerDaemon(folder / "daemon")
    try:
        running.start()
        provide(running, folder / "debian")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def project(daemon: DockerDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProject]:
    """The compose project with its images built, and nothing running."""
    made = ComposeProject(daemon, tmp_path_factory.mktemp("project"))
    made.build()
    yield made
    made.down()


@pytest.fixture
def up(project: ComposeProject, tmp_path: Path) -> Iterator[tuple[ComposeProject, Events]]:
    """The project after `docker compose up`, all of it healthy, with the events since before it."""
    events = Events(project.daemon, tmp_path / "events")
    try:
        project.up()
        wait_for(lambda: all(map(project.healthy, SERVICES)), 300.0, lambda: f"all healthy:\n{project.logs()}", 1.0)
        yield project, events
    finally:
        events.close()
        project.down()


def test_images_are_non_root_labelled_checked_and_small(
    project: ComposeProject, record_testsuite_property: Callable[..., None]
) -> None:
    """Each becomes a user without rights, and has a health check and labels; the agent's no Buildbot and no Twisted."""
    daemon = project.daemon
    assert _run(daemon, MASTER, "id", "-u").strip() == BUILDMASTER
    for image in IMAGES:
        config = daemon.inspect(image)["Config"]
        assert (config["User"] in ("", "root", "0")) == (config["Entrypoint"] == ["start-agent"])
        assert config["Healthcheck"]["Test"][0] == "CMD"
        assert config["StopSignal"] == "SIGTERM"
        for name in ("title", "description", "licenses", "version"):
            assert labels(daemon, image).get(f"org.opencontainers.image.{name}"), f"{image} has no label {name}"

    find = "import importlib.util as u; print([n for n in ('buildbot', 'twisted') if u.find_spec(n)])"
    assert _run(daemon, WORKER, "python3", "-c", find).strip() == "[]"
    assert _run(daemon, MASTER, "python3", "-c", find).strip() == "['buildbot', 'twisted']"
    assert "gcc" not in _run(daemon, WORKER, "sh", "-c", "command -v git gcc make || true")

    sizes = {name: daemon.inspect(name)["Size"] / MIB for name in (python_image(), broker_image(), *IMAGES)}
    report = ", ".join(f"{name} {size:.0f} MiB" for name, size in sizes.items())
    print(report)
    record_testsuite_property("image_sizes", report)
    assert sizes[WORKER] - sizes[python_image()] < SLIM_ADDS
    assert sizes[WORKER] < sizes[WORKER_C]
    assert sizes[WORKER] < sizes[MASTER]


def test_up_is_healthy_in_order_and_both_columns_build(up: tuple[ComposeProject, Events]) -> None:
    """Master and workers start after the broker is healthy; each column's build runs on an image that qualifies."""
    project, events = up
    healthy = wait_for(lambda: _first_healthy(events), 30.0, "a healthy event of each service")
    started = {event.service: event.at for event in reversed(events.of("start"))}
    for service in ("master", "worker", "worker-c"):
        assert healthy["broker"] <= started[service] <= healthy[service], f"{service}: {started} {healthy}"

    master = project.master
    hosts = {service: project.containers(service) for service in SERVICES}
    wanted = {"hello-python": ("test", hosts["worker"] + hosts["worker-c"]), "hello-c": ("run", hosts["worker-c"])}
    requests = {name: master.force(name) for name in wanted}
    for name, (step, qualified) in wanted.items():
        build = master.finished(requests[name], timeout=120.0)
        assert build.result == "SUCCESS", master.describe(requests[name]) + project.logs()
        host, _, account = master.properties(build)["agent"].partition("@")
        assert host in qualified
        assert account in SERVICES, "agents of one service share its account, which their names are shown with"
        assert "hello from" in master.output(build, step)

    for service in SERVICES[1:]:
        for name in hosts[service]:
            # the first process may be Docker's own init, and what starts an agent gives root's rights up
            processes = project.daemon.docker("top", name, "-o", "pid,uid,args").splitlines()[1:]
            ours = [line.split(maxsplit=2) for line in processes if "python" in line]
            assert ours
            assert all(uid not in ("0", "root") for _, uid, _ in ours), processes
    ports = [
        binding["HostIp"]
        for service in SERVICES
        for name in hosts[service]
        for bindings in project.daemon.inspect(name)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    ]
    assert ports
    assert set(ports) == {"127.0.0.1"}


def test_scaling_up_and_down_under_load_loses_and_repeats_no_build(
    up: tuple[ComposeProject, Events], record_testsuite_property: Callable[..., None]
) -> None:
    """1 → 5 → 1 agents while builds run and wait: those taken away end their builds first, and leave with status 0."""
    project, events = up
    master, ledger = project.master, project.ledger
    transcript = Transcript()
    [kept] = project.containers("worker")

    requests = [master.force("load") for _ in range(BUILDS)]
    wait_for(ledger.running, 120.0, lambda: f"a build runs:\n{project.logs()}")
    transcript.add(f"{BUILDS} builds queued, 1 agent: 1 runs")
    assert len(ledger.running()) == 1

    project.up("--scale", "worker=5")
    wait_for(lambda: len(ledger.running()) == 5, 180.0, lambda: f"five run: {ledger.running()}\n{project.logs()}")
    transcript.add("--scale worker=5: 5 builds run")
    assert project.containers("worker")[0] == kept
    assert set(ledger.running().values()) == set(project.containers("worker"))
    for number in list(ledger.running()):
        ledger.release(number)
    wait_for(lambda: len(ledger.runs("begun")) == 10, 120.0, lambda: f"the next five run: {ledger.running()}")
    transcript.add("those 5 ended, the next 5 run")
    held = ledger.running()
    assert set(held.values()) == set(project.containers("worker"))

    leaving = set(project.containers("worker")) - {kept}
    down = project.begin_up("--scale", "worker=1")
    wait_for(lambda: _asked_to_leave(events) >= leaving, 120.0, lambda: f"SIGTERM to {leaving}: {events.of('kill')}")
    transcript.add("--scale worker=1: 4 agents got SIGTERM, drain, and 5 builds still run")
    # the kept one goes on taking work while the others drain
    for number, host in held.items():
        if host == kept:
            ledger.release(number)
    wait_for(lambda: len(ledger.runs("begun")) == 11, 120.0, lambda: f"the kept agent goes on: {ledger.running()}")
    assert [host for _number, host in ledger.runs("begun")[10:]] == [kept]
    assert not _ended(events), "an agent left while its build ran"
    transcript.add("the agent that stays ended its build and began the next; the other 4 still hold theirs")
    for number in held:
        ledger.release(number)
    down.result(180.0)
    assert _ended(events) == dict.fromkeys(leaving, "0")
    assert project.containers("worker") == [kept]
    transcript.add("the 4 ended their builds and left with status 0")

    for number in range(BUILDS):
        ledger.release(number + 1)
    results = [master.finished(request, timeout=120.0) for request in requests]
    transcript.add(f"all {BUILDS} builds are done")
    assert [build.result for build in results] == ["SUCCESS"] * BUILDS
    assert [len(master.builds(request)) for request in requests] == [1] * BUILDS
    begun, ended = ledger.runs("begun"), ledger.runs("ended")
    assert sorted(number for number, _host in begun) == list(range(1, BUILDS + 1))
    assert sorted(ended) == sorted(begun)
    assert {host for _number, host in begun[10:]} == {kept}, "an agent that drains took new work"
    assert set(_ended(events)) == leaving, "another container ended, too"
    print(transcript)
    record_testsuite_property("scaling_transcript", str(transcript))


def test_everything_is_encrypted_signed_and_has_an_account_of_its_own(up: tuple[ComposeProject, Events]) -> None:
    """The broker has no other listener than TLS's, no default user; who reads a secret is who it is for."""
    project, _events = up
    docker = project.daemon.docker
    [broker], [master], [worker] = (project.containers(name) for name in ("broker", "master", "worker"))
    listeners = docker("exec", broker, "rabbitmq-diagnostics", "-q", "listeners")
    assert "port: 5671, protocol: amqp/ssl" in listeners
    assert "protocol: amqp," not in listeners
    connections = docker("exec", broker, "rabbitmqctl", "-q", "list_connections", "user", "ssl").split("\n")
    seen = {tuple(line.split("\t")) for line in connections if "\t" in line and not line.startswith("user")}
    assert seen == {("sample", "true"), ("worker", "true"), ("worker-c", "true")}
    users = docker("exec", broker, "rabbitmqctl", "-q", "list_users").splitlines()
    names = {line.split("\t")[0] for line in users if not line.startswith("user")}
    assert names == {"sample", "operator", "worker", "worker-c"}

    assert docker("exec", master, "ls", "/run/buildbot-amqp").split() == ["amqp-url", "ca.pem", "signing-key"]
    status = docker("exec", worker, "sh", "-c", "cat /proc/[0-9]*/status 2>/dev/null || true")
    users_of_processes = {line.split()[1] for line in status.splitlines() if line.startswith("Uid:")}
    assert {AGENT, BUILD} <= users_of_processes
    assert "commands_run_apart" in project.logs()
    for user, allowed in ((AGENT, "yes"), (BUILD, "no")):
        read = "cat /run/buildbot-amqp/worker-agent.toml >/dev/null 2>&1 && echo yes || echo no"
        assert docker("exec", f"--user={user}", worker, "sh", "-c", read).strip() == allowed
    assert docker("exec", f"--user={AGENT}", worker, "ls", "/run/buildbot-amqp").split() == [
        "ca.pem", "signing-key.pub", "worker-agent.toml",
    ]  # fmt: skip
    assert docker("exec", worker, "sh", "-c", "touch /run/buildbot-amqp/x || echo no").strip() == "no"
    fleet = json.loads(project.run("operator", "fleet", "--once", "--json"))
    assert len(fleet["agents"]) == 2
    assert {agent["state"] for agent in fleet["agents"]} == {"ready"}


class Transcript:
    """Lines with the seconds since the first moment."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        self._lines.append(f"{time.monotonic() - self._begin:6.1f} s  {line}")

    def __str__(self) -> str:
        return "\n".join(self._lines)


def _run(daemon: DockerDaemon, image: str, program: str, *arguments: str) -> str:
    return daemon.docker("run", "--rm", "--network=none", f"--entrypoint={program}", image, *arguments)


def _first_healthy(events: Events) -> dict[str, float] | None:
    """Service -> when it was first healthy; None while one of them has not been."""
    first = {event.service: event.at for event in reversed(events.of("health_status: healthy"))}
    return first if set(first) == set(SERVICES) else None


def _ended(events: Events) -> dict[str, str]:
    """Container -> exit code of those that are meant to stay; "security" runs to its end at each `up`."""
    return {event.container: event.attributes["exitCode"] for event in events.of("die") if event.service in SERVICES}


def _asked_to_leave(events: Events) -> set[str]:
    kills: list[Event] = events.of("kill")
    return {event.container for event in kills if event.attributes.get("signal") == "15"}
