"""Settings: three ways to each, one order among them, and mistakes that name themselves."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from worker_agent.program.cli import make_cli
from worker_agent.program.loading import BadSettings, flag_of, load, settings_of, unknown_variables, variable_of
from worker_agent.program.settings import Settings

#: A value for each setting: as text, as it stands in TOML, and what becomes of it.
VALUES = {
    "amqp_url": ("amqp://u:p@h/v", '"amqp://u:p@h/v"', "amqp://u:p@h/v"),
    "amqp_url_file": ("URL_FILE", '"URL_FILE"', "URL_FILE"),
    "tls_ca": ("/a/ca.pem", '"/a/ca.pem"', Path("/a/ca.pem")),
    "tls_cert": ("/a/c.pem", '"/a/c.pem"', Path("/a/c.pem")),
    "tls_key": ("/a/k.pem", '"/a/k.pem"', Path("/a/k.pem")),
    "trusted_key": ("/a/m.pub", '["/a/m.pub"]', (Path("/a/m.pub"),)),
    "heartbeat": ("20", "20", 20),
    "reconnect_max": ("3.5", "3.5", 3.5),
    "name": ("b7", '"b7"', "b7"),
    "slots": ("3", "3", 3),
    "basedir": ("/a/b", '"/a/b"', Path("/a/b")),
    "run_as": ("nobody", '"nobody"', "nobody"),
    "state": ("/a/s", '"/a/s"', Path("/a/s")),
    "admin": ("me", '"me"', "me"),
    "host": ("a box", '"a box"', "a box"),
    "access_uri": ("ssh://b7", '"ssh://b7"', "ssh://b7"),
    "encoding": ("latin-1", '"latin-1"', "latin-1"),
    "auto_capabilities": ("true", "true", True),
    "capability": ("gtk=3.24", '["gtk=3.24"]', ("gtk=3.24",)),
    "without": ("wx", '["wx"]', ("wx",)),
    "capabilities_d": ("/a/d", '["/a/d"]', (Path("/a/d"),)),
    "probe_interval": ("60", "60", 60.0),
    "exit_after_idle": ("9", "9", 9.0),
    "exit_after_build": ("true", "true", True),
    "max_uptime": ("9.5", "9.5", 9.5),
    "min_free_disk": ("1GiB", '"1GiB"', 1 << 30),
    "min_free_temp": ("1MiB", '"1MiB"', 1 << 20),
    "min_free_memory": ("2MiB", '"2MiB"', 2 << 20),
    "cache_free_disk": ("5GiB", '"5GiB"', 5 << 30),
    "metrics_port": ("9100", "9100", 9100),
    "metrics_host": ("::1", '"::1"', "::1"),
    "traces": ("true", "true", True),
    "log_format": ("json", '"json"', "json"),
    "log_level": ("debug", '"debug"', "debug"),
}


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)
    for name in ("WORKER_AGENT_CONFIG", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("worker_agent.program.loading.CONFIG_FILES", (tmp_path / "worker-agent.toml",))
    monkeypatch.chdir(tmp_path)
    Path("URL_FILE").write_text("amqp://from:file@h/\n")


def from_command_line(*arguments: str) -> Settings:
    """The settings that `worker-agent ARGUMENTS` would run with."""
    found: list[Settings] = []

    def run(context: click.Context) -> None:
        found.append(settings_of(context.obj))

    result = CliRunner().invoke(make_cli(run), list(arguments))
    assert result.exit_code == 0, result.output
    return found[0]


def check(name: str, settings: Settings, expected: object, tmp_path: Path) -> None:
    if name == "amqp_url_file":
        assert settings.amqp_url_file == tmp_path / "URL_FILE"
        assert settings.amqp_url is not None
        assert settings.amqp_url.get_secret_value() == "amqp://from:file@h/"
    elif name == "amqp_url":
        assert settings.amqp_url is not None
        assert settings.amqp_url.get_secret_value() == expected
    else:
        assert getattr(settings, name) == expected


def test_a_variable_in_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sets the same; one that is empty sets nothing."""
    monkeypatch.setenv("worker_agent_slots", "3")
    monkeypatch.setenv("WORKER_AGENT_HEARTBEAT", "")
    assert (load({}).slots, load({}).heartbeat) == (3, 10)


def test_every_setting_is_tried_here() -> None:
    """A setting without a line in VALUES is one whose three ways nobody checks."""
    assert set(VALUES) == set(Settings.model_fields)


@pytest.mark.parametrize("name", VALUES)
def test_each_setting_has_a_flag(name: str, tmp_path: Path) -> None:
    """`--amqp-url URL`, and so on; a yes-or-no setting is a flag without a value."""
    text, _, expected = VALUES[name]
    arguments = (flag_of(name),) if text == "true" else (flag_of(name), text)
    check(name, from_command_line(*arguments), expected, tmp_path)


@pytest.mark.parametrize("name", VALUES)
def test_each_setting_has_a_variable(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`WORKER_AGENT_AMQP_URL=URL`, and so on."""
    text, _, expected = VALUES[name]
    monkeypatch.setenv(variable_of(name), text)
    check(name, load({}), expected, tmp_path)


@pytest.mark.parametrize("name", VALUES)
def test_each_setting_has_a_key(name: str, tmp_path: Path) -> None:
    """`amqp_url = "URL"` in the TOML file, and so on."""
    _, toml, expected = VALUES[name]
    (tmp_path / "worker-agent.toml").write_text(f"{name} = {toml}\n")
    check(name, load({}), expected, tmp_path)


def test_flag_before_variable_before_file_before_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stronger source wins, whatever the others say."""
    assert load({}).slots == 1
    (tmp_path / "worker-agent.toml").write_text("slots = 2\n")
    assert load({}).slots == 2
    monkeypatch.setenv("WORKER_AGENT_SLOTS", "3")
    assert load({}).slots == 3
    assert load({"slots": "4"}).slots == 4


def test_several_values_in_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commas and spaces separate them."""
    monkeypatch.setenv("WORKER_AGENT_CAPABILITY", "gtk=3, wx  qt")
    assert load({}).capability == ("gtk=3", "wx", "qt")


@pytest.mark.parametrize(
    ("flags", "variable", "file", "said"),
    [
        ({"slots": "no"}, None, "", "--slots: "),
        ({}, ("WORKER_AGENT_SLOTS", "0"), "", "environment variable WORKER_AGENT_SLOTS: "),
        ({}, None, 'heartbeat = "x"', "heartbeat in "),
        ({}, None, "slot = 1", "; did you mean slots?"),
        ({}, None, "slots = ", "is not TOML"),
        ({"amqp_url": "http://u:hunter2@h/"}, None, "", "begins with http://"),
        ({"amqp_url": "amqp://h/", "amqp_url_file": "URL_FILE"}, None, "", "give one of them"),
        ({"amqp_url_file": "nowhere"}, None, "", "--url-file: "),
        ({"capability": ("=3",)}, None, "", "has no name"),
    ],
)
def test_a_mistake_names_the_setting_and_its_source(
    flags: dict[str, object], variable: tuple[str, str] | None, file: str, said: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """Which setting, where it came from, what is wrong; and no password in it."""
    if variable:
        monkeypatch.setenv(*variable)
    if file:
        (tmp_path / "worker-agent.toml").write_text(file)
    with pytest.raises(BadSettings) as caught:
        load(flags)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_mistake_ends_the_program_with_status_2() -> None:
    """On standard error, one line a mistake."""
    result = CliRunner().invoke(make_cli(), ["--slots", "none", "--heartbeat", "0"])
    assert result.exit_code == 2
    assert "--slots" in result.output
    assert "--heartbeat" in result.output


def test_without_a_broker_it_says_what_to_give() -> None:
    """No URL anywhere: status 2, and the three ways to give one."""
    result = CliRunner().invoke(make_cli(), [])
    assert result.exit_code == 2
    assert "no broker: give --url, --url-file or WORKER_AGENT_URL" in result.output


def test_the_systemd_credential_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LoadCredential=amqp-url:… needs no other setting."""
    (tmp_path / "amqp-url").write_text("amqp://cred:x@h/")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    url = load({}).amqp_url
    assert url is not None
    assert url.get_secret_value() == "amqp://cred:x@h/"


def test_a_flag_for_a_file_wins_over_a_variable_with_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two settings that hold the URL the one from the stronger source counts."""
    monkeypatch.setenv("WORKER_AGENT_AMQP_URL", "amqp://weak/")
    url = load({"amqp_url_file": "URL_FILE"}).amqp_url
    assert url is not None
    assert url.get_secret_value() == "amqp://from:file@h/"


def test_misspelt_variables_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with our prefix that sets nothing is told."""
    monkeypatch.setenv("WORKER_AGENT_SLOT", "2")
    assert unknown_variables() == ("WORKER_AGENT_SLOT",)


def test_secrets_are_not_shown() -> None:
    """Neither the settings' repr nor a log line of theirs holds the password."""
    assert "hunter2" not in repr(load({"amqp_url": "amqp://u:hunter2@h/"}))


def test_help_has_the_sections_of_a_manual_page() -> None:
    """Every setting, and what a reader looks for next."""
    text = CliRunner().invoke(make_cli(), ["--help"]).output
    for section in (
        "Description:",
        "Broker:",
        "Commands:",
        "Environment:",
        "Files:",
        "Signals:",
        "Exit status:",
        "Examples:",
    ):
        assert section in text
    for name in Settings.model_fields:
        assert flag_of(name) in text


@pytest.mark.parametrize("setting", ["tls_ca", "tls_cert"])
@pytest.mark.parametrize("where", ["flag", "variable", "file", "url file"])
def test_certificates_with_a_plain_url_are_refused(
    setting: str, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever names them believes that the link is encrypted; wherever the two were said."""
    config, flags = tmp_path / "config.toml", {"amqp_url": "amqp://u:secret@host/"}
    config.write_text("")
    if where == "flag":
        flags[setting] = str(tmp_path / "pem")
    elif where == "variable":
        monkeypatch.setenv(variable_of(setting), str(tmp_path / "pem"))
    elif where == "file":
        config.write_text(f'{setting} = "{tmp_path / "pem"}"\n')
    else:
        (tmp_path / "url").write_text(flags.pop("amqp_url"))
        flags |= {"amqp_url_file": str(tmp_path / "url"), setting: str(tmp_path / "pem")}
    with pytest.raises(BadSettings, match=f"{flag_of(setting)}.*amqps://") as refused:
        load(flags, config)
    assert "secret" not in str(refused.value)


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="--tls-cert"):
        load({"amqp_url": "amqps://host/", "tls_key": str(tmp_path / "pem")}, None)


def test_the_url_has_two_names_and_is_one_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--url`, WORKER_AGENT_URL and `url`; and those of before there were other ways than AMQP."""
    file = tmp_path / "agent.toml"
    for variable in ("WORKER_AGENT_URL", "WORKER_AGENT_AMQP_URL"):
        monkeypatch.setenv(variable, "amqp://a:b@h/")
        loaded = load({"state": tmp_path}).amqp_url
        assert loaded is not None
        assert loaded.get_secret_value() == "amqp://a:b@h/"
        monkeypatch.delenv(variable)
    for name in ("url", "amqp_url"):
        file.write_text(f'{name} = "amps://a:b@h"\n')
        file.chmod(0o600)
        assert load({"state": tmp_path}, file).amqp_url is not None
    file.write_text('url = "amps://a:b@h"\namqp_url = "amqp://a:b@h/"\n')
    with pytest.raises(BadSettings, match="are one setting"):
        load({"state": tmp_path}, file)


def test_a_masters_own_url_is_checked_as_a_brokers_is(tmp_path: Path) -> None:
    for url, problem in (
        ("amps://h", "names no user"),
        ("amps://a@h/vhost", "behind host and port"),
        ("zmq://a@h", ""),
    ):
        with pytest.raises(BadSettings, match=f"--url: .*{problem}"):
            load({"amqp_url": url, "state": tmp_path})
