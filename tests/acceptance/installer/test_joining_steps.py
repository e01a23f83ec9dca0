"""What the installer does with the file of `master-bridge enroll`: its own functions, with this checkout's program."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from contracts.trust.signing import generate
from master_bridge.operating.certificates import make
from master_bridge.operating.enclosed import authority, trusted_keys
from master_bridge.operating.enrolment import agent_config
from tests.acceptance.installer.test_root_steps import Machine, machine  # noqa: F401  # a fixture

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """An authority and a trusted key, as text."""
    folder = tmp_path_factory.mktemp("material")
    generate(folder / "key")
    keys = trusted_keys([folder / "key.pub"], None)
    return authority(make(folder, ["broker"], ()).ca).pem, [key.pem for key in keys]


@pytest.fixture
def enrolled(material: tuple[str, list[str]]) -> str:
    return enrolled_with(material, "hunter2")


def enrolled_with(material: tuple[str, list[str]], password: str) -> str:
    ca, keys = material
    return agent_config("builder7", f"amqps://builder7:{password}@broker/", ca=ca, certificate=None, keys=keys)


def given(machine: Machine, text: str, mode: int = 0o600) -> str:  # noqa: F811
    """A setting of the script: the file with this text."""
    file = machine.folder / "builder7.toml"
    file.write_text(text)
    file.chmod(mode)
    return f"config_file={file}"


def is_in_place(machine: Machine, text: str) -> None:  # noqa: F811
    found = machine.config.stat()
    assert machine.config.read_text() == text
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, machine.user.pw_gid, 0o640)
    assert not os.path.lexists(f"{machine.config}.new")


def test_one_file_is_all(machine: Machine, material: tuple[str, list[str]]) -> None:  # noqa: F811
    """From a file or a pipe; the next one takes its place, and leaves what the machine's owner has set."""
    first, second = (enrolled_with(material, password) for password in ("first", "second"))
    said = machine.configure(given(machine, first))
    assert "others than its owner" not in said
    is_in_place(machine, f'state = "{machine.state}"\n{first}')
    assert "the program can work with it" in said
    assert f"rm {machine.folder}/builder7.toml" in said
    machine.config.write_text(
        f"# mine\nslots = 4\nwithout = ['gtk', 'wx']\nadmin = 'Jürgen 🎉'\n{machine.config.read_text()}"
    )
    said += machine.configure("config_file=-", stdin=second)
    kept = f'slots = 4\nwithout = ["gtk", "wx"]\nadmin = "Jürgen 🎉"\nstate = "{machine.state}"\n'
    is_in_place(machine, f"{kept}{second}")
    said += machine.configure("slots=2")  # an upgrade
    assert "--slots and --name are for a new configuration" in said
    assert f"the URL in {machine.config}" in said
    is_in_place(machine, f"{kept}{second}")
    assert "first" not in said
    assert "second" not in said


def test_what_was_asked_for_beside_the_file_counts(machine: Machine, enrolled: str) -> None:  # noqa: F811
    """Slots; the name is the file's own."""
    machine.configure(f"{given(machine, enrolled)} slots=3 separate=yes BUILD_NAME=daemon")
    is_in_place(machine, f'slots = 3\nstate = "{machine.state}"\nrun_as = "daemon"\n{enrolled}')
    said = machine.configure(f"{given(machine, enrolled)} worker_name=other", fails=True)
    assert "says name itself: leave --name out" in said


def test_a_machine_with_one_user_stays_so(machine: Machine, enrolled: str) -> None:  # noqa: F811
    """With the new file as without it; a file that names the second user brings it."""
    show = '\nread_configuration\ndecide_separation\nsay "separate=$separate"'
    assert "separate=yes" in machine.call(given(machine, enrolled) + show)
    machine.config.write_text("slots = 4\n")
    assert "separate=no" in machine.call(given(machine, enrolled) + show)
    assert "separate=yes" in machine.call(given(machine, 'run_as = "ci"\n' + enrolled) + show)


OTHER_VERSION = 'colour = "blue"\n'


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text[: text.index("amqp_url")], "names no broker: it has no line amqp_url"),
        (lambda text: text[: text.index("@broker")], "is not TOML, or not all of it is there"),
        (lambda text: text.replace("-----END CERTIFICATE", "-----END"), "--tls-ca"),
        (lambda text: OTHER_VERSION + text, "colour in {file}: there is no such setting in worker-agent"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    machine: Machine,  # noqa: F811
    enrolled: str,
    change: object,
    reason: str,
) -> None:
    """The reason names the setting, and no secret; what was in place stays."""
    machine.config.write_text("slots = 4\n")
    assert callable(change)
    said = machine.configure(given(machine, change(enrolled)), fails=True)
    assert reason.format(file=machine.folder / "builder7.toml") in said
    assert "hunter2" not in said
    assert machine.config.read_text() == "slots = 4\n"
    assert not os.path.lexists(f"{machine.config}.new")


def test_an_upgrade_that_cannot_work_with_the_old_configuration_is_refused(machine: Machine, enrolled: str) -> None:  # noqa: F811
    """A setting that the new program does not know; the one in use is not put out of its place."""
    old = OTHER_VERSION + enrolled
    machine.config.write_text(old)
    said = machine.configure(fails=True)
    assert f"colour in {machine.config}: there is no such setting" in said
    assert "Program and configuration are as they were before" in said
    assert machine.config.read_text() == old
    assert not machine.venv.exists()


def test_a_file_that_root_cannot_read_or_others_can(machine: Machine, enrolled: str) -> None:  # noqa: F811
    """A folder, nothing, nobody's, everybody's: each is said."""
    said = machine.call(f"{given(machine, enrolled, 0o640)}\ncheck_readers")
    assert "others than its owner may read" in said
    for name, reason in (("gone.toml", "there is no such file"), (".", "is a folder")):
        assert reason in machine.call(f"config_file={machine.folder}/{name}\nread_configuration", fails=True)
    # as root meets on a network's disk: the file is there, and reading it fails
    assert "cannot be read by" in machine.call("config_file=/proc/self/mem\nread_configuration", fails=True)
    assert "is empty" in machine.call("config_file=-\nread_configuration", fails=True)


def test_the_extras_are_those_that_the_configuration_asks_for(machine: Machine, enrolled: str) -> None:  # noqa: F811
    """Also at an upgrade, with and without a new file."""
    for kept, new, wanted in (
        ("", "", ""),
        ("", "traces = true\n", ",otel"),
        ("traces = true\n", "", ",otel"),
        ("traces=true\n", None, ",otel"),
        ("traces = true\n", "traces = false\n", ""),
        ("# traces = true\n", None, ""),
    ):
        machine.config.write_text(kept)
        settings = "" if new is None else given(machine, new + enrolled)
        assert f"/src[worker,signing{wanted}]\n" in machine.call(f"{settings}\nread_configuration\nsay $(requirement)")


def test_the_file_is_no_second_place_for_the_broker(tmp_path: Path) -> None:
    from tests.acceptance.installer.test_script import install

    ran = install("--source", "/src", "--config", str(tmp_path / "x"), "amqps://broker/")
    assert ran.returncode == 2
    assert "leave the URL out" in ran.stdout
