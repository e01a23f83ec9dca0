"""Environment variables: those of settings by their rule, the others by name."""

from __future__ import annotations

from docs.reading.commands import SHARED
from master_bridge.cli import settings as operators
from worker_agent.program.loading import CONFIG_VARIABLE, flag_of, variable_of
from worker_agent.program.settings import Settings

#: Variables that are no setting of ours: who reads them, and what for. A test compares them with the sources.
OTHERS = {
    "BUILDBOT_AMQP_COMMAND": ("worker-agent", "Given to each command: its session and number, by which the agent finds "
                              "what belongs to it; `leave` in a command's own environment: do not end it "
                              "([differences](../differences-to-pb.md))."),
    "BUILDBOT_PIPELINE": ("pipelines", "Given to the program of a pipeline: the file to which it appends its lines."),
    "COLUMNS": ("master-bridge", "Columns of the terminal, where it does not say by itself."),
    "CREDENTIALS_DIRECTORY": ("worker-agent", "systemd's credentials: a file `amqp-url` in it is the broker's URL."),
    "HOME": ("both", "`~` in file names, and folders that XDG's variables do not name."),
    "NOTIFY_SOCKET": ("worker-agent", "systemd's `Type=notify`."),
    "SYSTEMD_EXEC_PID": (
        "worker-agent",
        "systemd's: which process is a service's, so that it starts again if it is killed.",
    ),
    "NO_COLOR": ("master-bridge", "Set to anything: no colours."),
    "OTEL_*": ("worker-agent, Buildbot's master", "With traces: where they go, as OpenTelemetry's SDK has it "
               "(`OTEL_EXPORTER_OTLP_ENDPOINT`)."),
    "PATH": ("worker-agent", "Where probes and commands look for programs."),
    "PKG_CONFIG_LIBDIR": ("worker-agent", "Where `--auto-capabilities` looks for libraries, as pkg-config does."),
    "PKG_CONFIG_PATH": ("worker-agent", "Where `--auto-capabilities` looks for libraries, too, as pkg-config does."),
    "SSH_CONNECTION": ("master-bridge", "sshd's: where an agent comes from, for `serve-agent`."),
    "STATE_DIRECTORY": ("worker-agent", "systemd's `StateDirectory=`: the default of `--state`."),
    "TERM": ("master-bridge", "`dumb`, `unknown` or not set: no live view."),
    "WATCHDOG_PID": ("worker-agent", "systemd's `WatchdogSec=`."),
    "WATCHDOG_USEC": ("worker-agent", "systemd's `WatchdogSec=`."),
    "XDG_CONFIG_HOME": ("master-bridge", "Folder of the configuration file's folder."),
    "XDG_STATE_HOME": ("worker-agent", "Folder of the default of `--state`."),
}  # fmt: skip


def variables() -> dict[str, tuple[str, str]]:
    """All environment variables: who reads it, and what for."""
    agent = {variable_of(name): ("worker-agent", f"As `{flag_of(name)}`.") for name in Settings.model_fields}
    operator = {operators.variable_of(name): ("master-bridge", f"As `{operators.option_of(name)}`.") for name in SHARED}
    operator[operators.variable_of("amqp_url")] = (
        "master-bridge, Buildbot's master",
        "As `--amqp-url`; in a master that of an `AMQPBroker` without `url`.",
    )
    files = {
        CONFIG_VARIABLE: ("worker-agent", "The configuration file, as `--config`."),
        operators.CONFIG_VARIABLE: ("master-bridge", "The configuration file, as `--config`."),
    }
    return agent | operator | files | OTHERS
