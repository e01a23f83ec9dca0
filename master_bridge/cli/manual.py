"""The classes of the commands of `master-bridge`: their help has environment, files and exit status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.operations.exit_status import ExitStatus
from contracts.operations.manual import ManualCommand, ManualGroup, Section
from master_bridge.cli.settings import CONFIG_VARIABLE, OperatorSettings, config_file, option_of, variable_of

#: Of commands that speak to the broker, where nothing else is said.
FAILED = "the broker cannot be reached, or does not let this account do it"
OK = "done as asked"
WRONG = "an option, a variable or the configuration file is wrong"

RULE = (
    "An option wins over its variable, that over the configuration file. A variable is called as its option, after "
    "MASTER_BRIDGE_."
)


def environment() -> Section:
    """One line a variable."""
    names = {variable_of(name): f"as {option_of(name)}" for name in OperatorSettings.model_fields}
    names[CONFIG_VARIABLE] = "the configuration file, as `master-bridge --config`"
    names["NO_COLOR"] = "set to anything: no colours"
    return Section(title="Environment", words=tuple(names.items()), text=RULE, wrap=True)


def files() -> Section:
    folder = config_file().parent.name
    return Section(
        title="Files",
        text=f"$XDG_CONFIG_HOME/{folder}/master-bridge.toml\n"
        f"~/.config/{folder}/master-bridge.toml (where XDG_CONFIG_HOME is not set)\n"
        "    TOML, read unless --config names another. Keys are the options' names with\n"
        "    underscores; files are named as seen from its folder. With a password in\n"
        "    it, it must be its owner's alone (chmod 600):\n"
        '    url = "amqps://desk:secret@broker.example.org/"\n'
        '    tls_ca = "ca.pem"\n'
        '    signing_key = "signing-key"',
    )


def exit_status(meanings: Mapping[int, str]) -> Section:
    return Section(title="Exit status", words=tuple((str(int(number)), text) for number, text in meanings.items()))


class OperatorGroup(ManualGroup):
    """Commands that speak to the broker."""

    @property
    def sections(self) -> tuple[Section, ...]:
        status = exit_status({0: OK, ExitStatus.FAILED: f"{FAILED}; each command says what else", 2: WRONG})
        return (environment(), files(), status, *self._own_sections)


class OperatorCommand(ManualCommand):
    """A command of `master-bridge`. `failed`: what exit status 1 means, `done`: what 0 does."""

    def __init__(self, *args: Any, failed: str = FAILED, done: str = OK, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._status = {0: done, ExitStatus.FAILED: failed, ExitStatus.USAGE: WRONG}

    @property
    def sections(self) -> tuple[Section, ...]:
        asks_broker = any(parameter.name == "amqp_url" for parameter in self.params)
        about = (environment(), files()) if asks_broker else ()
        return (*self._own_sections, *about, exit_status(self._status))
