"""The operator's settings: options, variables and a configuration file; what is wrong is named with its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from contracts.operations.exit_status import ExitStatus
from master_bridge.cli import COMMANDS, main, options
from master_bridge.cli.settings import (
    PREFIX,
    OperatorSettings,
    config_file,
    first_variable_of,
    load,
    option_of,
    variable_of,
)
from master_bridge.link.settings import ANY_URL_VARIABLE, URL_VARIABLE
from worker_agent.program import loading
from worker_agent.program.cli import make_cli
from worker_agent.program.settings import PREFIX as AGENT_PREFIX

#: A broker that nobody asks: what is wrong is found before.
ELSEWHERE = "amqp://127.0.0.1:1/"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the configuration file, for an operator who has set nothing."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in OperatorSettings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
    folder = tmp_path / "buildbot-amqp"
    folder.mkdir()
    return folder


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> list[options.Where]:
    """Where each call of `queues` would have looked for the broker."""
    seen: list[options.Where] = []

    def broker(self: options.Where, _purpose: str) -> Any:
        seen.append(self)
        raise click.ClickException("seen")

    monkeypatch.setattr(options.Where, "broker", broker)
    return seen


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "queues"])


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_the_configuration_file_says_all(home: Path, where: list[options.Where]) -> None:
    """By itself, or named; its files are seen from its folder; an option and a variable win over it."""
    write(home / "ca.pem", "")
    write(home / "key", "")
    text = f'amqp_url = "{ELSEWHERE}"\ntls_ca = "ca.pem"\nmanagement_url = "http://h"\nsigning_key = "{home}/key"\n'
    write(config_file(), text)
    run()
    run("--config", str(write(home / "other.toml", 'amqp_url = "amqp://other/"')))
    CliRunner().invoke(main, ["queues"], env={"MASTER_BRIDGE_CONFIG": str(home / "other.toml")})
    CliRunner().invoke(main, ["queues"], env={"MASTER_BRIDGE_AMQP_URL": "amqp://variable/"})
    url_file = write(home / "url", "amqp://file/\n")
    CliRunner().invoke(
        main, ["queues", "--amqp-url-file", str(url_file)], env={"MASTER_BRIDGE_AMQP_URL": "amqp://variable/"}
    )
    assert [each.url for each in where] == [
        ELSEWHERE, "amqp://other/", "amqp://other/", "amqp://variable/", "amqp://file/",
    ]  # fmt: skip
    assert (where[0].tls.ca, where[0].management_url, where[0].signing_key) == (
        str(home / "ca.pem"), "http://h", home / "key",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("amqp_url = [", 0o600, "{file} is not TOML"),
        ("\udcff", 0o600, "{file} is not TOML"),
        (
            'amqp_url = "amqp://u:s3cret@h/"', 0o644,
            "amqp_url in {file}: the file holds a secret, and other users may use it: chmod 600 {file}",
        ),
        ('management_url = "http://u:s3cret@h"', 0o666, "management_url in {file}: the file holds a secret"),
        ('amqp_ulr = "amqp://h/"', 0o600, "amqp_ulr in {file}: there is no such setting; did you mean amqp_url?"),
        ("amqp_url = 3", 0o600, 'amqp_url in {file}: is to be a text: amqp_url = "…"'),
        ('amqp_url_file = "gone"', 0o600, "amqp_url_file in {file}: {folder}/gone cannot be read: No such file"),
        ('tls_ca = "."', 0o644, "tls_ca in {file}: {folder} is a folder: name a file"),
        ('signing_key = "open"', 0o644, "signing_key in {file}: {folder}/open holds a secret, and other users may use"),
        ('amqp_url_file = "open"', 0o644, "chmod 600 {folder}/open"),
        ('amqp_url = "amqp://h/"\namqp_url_file = "open"', 0o600, "both say where the fleet is: give one of them"),
        ('tls_cert = "~nobody-of-that-name/x"', 0o644, "tls_cert in {file}: ~nobody-of-that-name/x: no such home"),
        ("", 0o644, "MASTER_BRIDGE_URL, or write url to {file}"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_named_with_its_remedy(home: Path, text: str, mode: int, says: str) -> None:
    """File, key, what is wrong and what to do, with status 2; no secret is repeated."""
    config_file().write_bytes(text.encode("utf-8", "surrogateescape"))
    config_file().chmod(mode)
    write(home / "open", ELSEWHERE, 0o640 if (home.stat().st_uid != 0) else 0o604)
    result = run()
    assert result.exit_code == ExitStatus.USAGE, result.output
    assert says.format(file=config_file(), folder=home) in result.output
    assert "s3cret" not in result.output


def test_a_file_that_is_named_must_be_there(home: Path) -> None:
    """The one of its own accord need not be."""
    result = run("--config", str(home / "gone.toml"))
    assert result.exit_code == ExitStatus.USAGE
    assert f"{home / 'gone.toml'} cannot be read: No such file or directory; it is named by --config" in result.output
    assert load({}).amqp_url is None


def test_the_source_of_a_wrong_value_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable by its name, an option by its own, and a variable that sets nothing."""
    monkeypatch.setenv("MASTER_BRIDGE_TLS_CA", "/gone")
    assert "MASTER_BRIDGE_TLS_CA: /gone cannot be read" in run().output
    monkeypatch.delenv("MASTER_BRIDGE_TLS_CA")
    monkeypatch.setenv("MASTER_BRIDGE_AMPQ_URL", ELSEWHERE)
    result = CliRunner().invoke(main, ["queues", "--tls-key", "/gone"])
    assert "--tls-key: /gone cannot be read" in result.output
    assert "warning: MASTER_BRIDGE_AMPQ_URL sets nothing" in result.output


def test_both_programs_name_variables_by_one_rule() -> None:
    """The program's name, then the option's: in capitals, with underscores. No command has a variable beside them."""
    assert variable_of("amqp_url") == ANY_URL_VARIABLE
    assert first_variable_of("amqp_url") == URL_VARIABLE
    for program, group, prefix in (
        ("master-bridge", main, PREFIX), ("worker-agent", make_cli(), AGENT_PREFIX),
    ):  # fmt: skip
        assert prefix == program.upper().replace("-", "_") + "_"
        context = click.Context(group)
        commands = [group.get_command(context, name) for name in group.list_commands(context)]
        for parameter in (each for command in (group, *commands) if command for each in command.params):
            if parameter.envvar:
                assert parameter.envvar == prefix + parameter.opts[0].lstrip("-").upper().replace("-", "_")
    assert {loading.variable_of(name) for name in ("amqp_url", "tls_ca")} == {
        "WORKER_AGENT_URL", "WORKER_AGENT_TLS_CA",
    }  # fmt: skip
    assert option_of("tls_ca") == loading.flag_of("tls_ca") == "--tls-ca"


@pytest.mark.parametrize("name", ["", *COMMANDS, "dead list", "dead requeue"])
def test_each_help_has_environment_files_and_exit_status(name: str) -> None:
    """Of what speaks to the broker; the others read no variable and no file. It fits 80 columns."""
    text = CliRunner().invoke(main, [*name.split(), "--help"], env={"COLUMNS": "80"}).output
    assert "\nExit status:\n  0  " in text
    if name == "conformance":
        return  # its table of words is as wide as its example
    if "--url-file" in text:
        assert f"  {ANY_URL_VARIABLE}  " in text
        assert "buildbot-amqp/master-bridge.toml\n" in text
    assert max(map(len, text.splitlines())) <= 80, max(text.splitlines(), key=len)


@pytest.mark.parametrize(("program", "name"), [(main, "master-bridge"), (make_cli(), "worker-agent")])
def test_both_programs_tell_their_version(program: click.Group, name: str) -> None:
    result = CliRunner().invoke(program, ["--version"])
    assert (result.exit_code, result.output.split()[0]) == (0, name)
    assert result.output.split()[1][0].isdigit()
