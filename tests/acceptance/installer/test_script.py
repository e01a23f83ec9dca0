"""The installer as a script: its style, its arguments, what it refuses. Runs nothing as root, changes nothing."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
SCRIPT = DEPLOY / "install-worker.sh"


def install(*arguments: str, shell: str = "sh", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shell, str(SCRIPT), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        start_new_session=True,  # no terminal to ask on
    )  # fmt: skip


def test_shellcheck_finds_nothing() -> None:
    """POSIX sh, every remark of shellcheck counts."""
    checked = subprocess.run(
        ["shellcheck", "--shell=sh", "--enable=check-unassigned-uppercase", str(SCRIPT)],
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert checked.stdout == ""
    assert checked.returncode == 0


def test_the_unit_is_the_one_that_is_shipped() -> None:
    """The script works alone, so it holds the unit; deploy/systemd has the same for those who install by hand."""
    assert install("--print-unit").stdout == (DEPLOY / "systemd" / "worker-agent.service").read_text()


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """No unknown key, no bad value."""
    unit = tmp_path / "worker-agent.service"
    text = (DEPLOY / "systemd" / "worker-agent.service").read_text()
    unit.write_text(text.replace("/opt/worker-agent/current/bin/python", shutil.which("true") or "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert "worker-agent.service" not in checked.stdout


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_dry_run_needs_no_root_and_says_every_step(shell: str, tmp_path: Path) -> None:
    """In each shell that /bin/sh may be; the password is not shown."""
    if shell == "busybox":
        if shutil.which("busybox") is None:
            pytest.fail("busybox is needed: apt-get install busybox-static (Alpine's sh is its ash)")
        os.symlink(shutil.which("busybox") or "", tmp_path / "ash")
        shell = str(tmp_path / "ash")
    ran = install(
        "--dry-run", "--source", "/src", shell=shell, WORKER_AGENT_AMQP_URL="amqps://b7:hunter2@broker.example.org/"
    )
    assert ran.returncode == 0, ran.stdout
    for step in ("Checking this machine", "Broker", "User worker-agent", "Program", "Configuration", "Service"):
        assert f"== {step}" in ran.stdout
    assert "amqps://…@broker.example.org" in ran.stdout
    assert "would run: " in ran.stdout
    assert "hunter2" not in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["amqp://b7:hunter2@localhost/"], "a password on a command line can be read by every user"),
        (["http://localhost/"], "A broker URL begins with amqp:// or amqps://"),
        (["--dry-run"], "--source is missing"),
        (["--source", "buildbot-amqp"], "a name at a package index may be anybody's"),
        (["--source", "buildbot-amqp[worker]==0.1.0"], "a name at a package index may be anybody's"),
        (["--source", "git+buildbot-amqp"], "a name at a package index may be anybody's"),
        *(
            (["--source", source], "anybody could put something else in its place")
            for source in (
                "http://h/f.whl",
                "HTTP://h/f.whl",
                "http://h/f.whl#sha256=",
                "http://h/f.whl#sha256=" + "g" * 64,
                "http://h/f.whl#md5=" + "a" * 32,
                "http://h/f.whl#egg=x&sha256=" + "a" * 63,
                "git+http://h/r",
                "git+http://h/r@main",
                "git+git://h/r@" + "a" * 39,
                "git://h/r",
                "ftp://h/f.whl",
                "svn+http://h/r",
            )
        ),
        (["--source", "/src", "--slots", "many"], "--slots many: a number from 1 on is needed"),
        (["--slots"], "--slots needs a value"),
        (["--source", "/src", "--wait", "-1"], "a number of seconds is needed"),
        (["--source", "/src", "--name", 'a"b'], "use letters, digits"),
        (["--frobnicate"], "what is --frobnicate?"),
    ],
)
def test_wrong_arguments(arguments: list[str], reason: str) -> None:
    """Status 2, what is wrong, and no step begun."""
    ran = install(*arguments)
    assert ran.returncode == 2
    assert reason in ran.stdout
    assert "\n== " not in ran.stdout
    assert "hunter2" not in ran.stdout


@pytest.mark.parametrize(
    "source",
    [
        "https://h/f.whl", "HTTPS://h/f.whl", "git+https://h/r@main", "git+ssh://git@h/r", "file:///src", "./src",
        "http://h/f.whl#sha256=" + "aB0" * 21 + "a", "http://h/f.whl#egg=x&sha256=" + "a" * 64 + "&x=y",
        "git+http://h/r@" + "a" * 40, "git+git://h/r@" + "a" * 40 + "#egg=x",
    ],
)  # fmt: skip
def test_sources_that_are_what_they_say(source: str) -> None:
    """By TLS or SSH, of this machine, or by a hash."""
    ran = install("--dry-run", "--source", source)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    "url", ["amqp://localhost:5672/", "amqp://b7@localhost:5672/ci", "amqps://broker.example.org/a:b"]
)
def test_colons_that_are_no_password(url: str) -> None:
    """A port or a vhost may have one."""
    assert install("--dry-run", "--source", "/src", url).returncode == 0


def test_without_a_url_and_a_terminal_it_says_where_to_put_it(tmp_path: Path) -> None:
    """A dry run goes on; a URL of another kind is refused before anything is done."""
    assert "it would be asked for" in install("--dry-run", "--source", "/src").stdout
    refused = install("--dry-run", "--source", "/src", WORKER_AGENT_AMQP_URL="broker.example.org")
    assert refused.returncode == 1
    assert "must begin with amqp:// or amqps://" in refused.stdout
    assert "== User" not in refused.stdout


def test_a_configuration_that_names_no_broker_is_refused(tmp_path: Path) -> None:
    """Before anything is changed."""
    (tmp_path / "agent.toml").write_text('name = "b7"\n')
    for file, reason in (("agent.toml", "names no broker"), ("gone.toml", "there is no such file")):
        ran = install("--dry-run", "--source", "/src", "--config", str(tmp_path / file))
        assert ran.returncode == 1
        assert f"{file}: {reason}" in ran.stdout or f"{file} {reason}" in ran.stdout
        assert "would run" not in ran.stdout.partition("== Broker")[2]


def test_a_script_that_was_cut_off_does_nothing(tmp_path: Path) -> None:
    """`curl … | sh` may end anywhere; nothing runs before the last line."""
    text = SCRIPT.read_text()
    for share in (0.3, 0.6, 0.9, 0.99):
        half = tmp_path / "half.sh"
        half.write_text(text[: int(len(text) * share)])
        ran = subprocess.run(
            ["sh", str(half), "--dry-run"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
        )
        assert "==" not in ran.stdout


def test_launchd_and_openrc_are_given_what_they_understand() -> None:
    """The property list parses; both start the program of the systemd unit, as its user, and let keepers live."""
    text = SCRIPT.read_text()
    unit = (DEPLOY / "systemd" / "worker-agent.service").read_text()
    program = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert program is not None
    plist = plistlib.loads(text.split("<<'PLIST'\n")[1].split("\nPLIST\n")[0].encode())
    assert plist["ProgramArguments"] == program[1].split()
    assert plist["UserName"] == "worker-agent"
    assert plist["AbandonProcessGroup"] is plist["KeepAlive"] is plist["RunAtLoad"] is True
    assert plist["Label"] == "org.buildbot-amqp.worker-agent"
    script = text.split("<<'SCRIPT'\n")[1].split("\nSCRIPT\n")[0]
    values = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', script, re.MULTILINE))
    assert f"{values['command']} {values['command_args']}" == program[1]
    assert values["command_user"] == "worker-agent:worker-agent"
    checked = subprocess.run(
        ["shellcheck", "--shell=sh", "--exclude=SC2034", "-"],  # SC2034: variables that OpenRC reads
        input=script, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert checked.stdout == ""
