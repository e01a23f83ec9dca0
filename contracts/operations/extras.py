"""What a program says whose part of the package is not installed. Standard library only.

One package holds both sides; what each needs beside the messages comes with an extra (`pyproject.toml`).
"""

from __future__ import annotations

#: Our own packages: one of their modules that is missing is a broken installation, not a missing extra.
_OURS = ("conformance", "contracts", "master_bridge", "worker_agent")
#: Modules that come with an extra of their own; all others come with that of the program.
_OF_OTHER_EXTRAS = {
    "cryptography": "signing",
    "opentelemetry": "otel",
    "OpenSSL": "tls",
    "service_identity": "tls",
    "zmq": "zmq",
}


def how_to_install(*extras: str) -> str:
    """The command that installs these extras; no package index has the package yet."""
    return f"pip install 'SOURCE[{','.join(extras)}]', where SOURCE is a checkout or a wheel of buildbot-amqp"


def missing_extra(error: ImportError, extra: str) -> str | None:
    """What to tell a person whose program needs a module that is not installed; None: another kind of error.

    `extra`: that of the program, "master" or "worker".
    """
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or not module or module in _OURS:
        return None
    extras = (extra, *filter(None, [_OF_OTHER_EXTRAS.get(module)]))
    named = " and ".join(f"'{name}'" for name in extras)
    return f"the Python module {module} is not installed: it comes with extra {named}: {how_to_install(*extras)}"
