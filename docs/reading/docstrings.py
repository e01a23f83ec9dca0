"""What `master.cfg` takes: the section `Args:` of docstrings, beside the parameters that there are."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from buildbot.plugins import steps, util, worker

from docs.reading.parameter import DEFAULT, Parameter

#: One parameter of a docstring's section `Args:`: name (type) or (type, unit), and its text.
_ENTRY = re.compile(r"^ {4}(\w+) \((.+?)\): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def of_docstring(documented: Any, signature: Callable[..., Any], beside: Iterable[str] = ()) -> list[Parameter]:
    """What `Args:` of a docstring says of the parameters of `signature` and of those named in `beside`, which go on.

    Raises LookupError when one is missing there, or is there and does not exist.
    """
    _, _, body = inspect.cleandoc(documented.__doc__ or "").partition("Args:\n")
    entries = {name: (kind, " ".join(text.split())) for name, kind, text in _ENTRY.findall(body)}
    named = {
        name: each.default
        for name, each in inspect.signature(signature).parameters.items()
        if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL) and name != "self"
    }
    named |= dict.fromkeys(beside)
    if set(entries) != set(named):
        raise LookupError(f"{documented.__name__}: Args: and parameters differ in {sorted(set(entries) ^ set(named))}")
    return [_of_entry(name, *entries[name], default) for name, default in named.items()]


def _of_entry(name: str, kind: str, text: str, default: Any) -> Parameter:
    kind, _, unit = kind.partition("; ")
    said = DEFAULT.search(text)
    if said is not None:
        text, shown = text[: said.start()] + text[said.end() :], said[1]
    elif default is inspect.Parameter.empty:
        shown = "none: must be given"
    elif default in (None, ()):
        shown = "none"
    else:
        shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    return Parameter(names=(name,), type=kind, unit=unit, default=shown, text=text.strip())


def introduction(documented: Any) -> str:
    """The docstring before its `Args:`."""
    return inspect.cleandoc(documented.__doc__ or "").partition("Args:\n")[0].strip()


def master_cfg() -> dict[str, tuple[str, list[Parameter]]]:
    """Heading -> introduction, parameters."""
    broker, slot, command = util.Broker, worker.AMQPLatentWorker, steps.CapabilityCommand
    rule, battery, pipeline = util.FleetEndpointMatcher, steps.Battery, steps.Pipeline
    return {
        "util.Broker": (introduction(broker), of_docstring(broker, broker.reconfigService)),
        "util.AMQPBroker": ("The first name of `util.Broker`, with the same parameters.", []),
        "worker.amqp_column": (introduction(worker.amqp_column), of_docstring(worker.amqp_column, worker.amqp_column)),
        "worker.AMQPLatentWorker": (introduction(slot), of_docstring(slot, slot.checkConfig, PASSED_ON)),
        "steps.CapabilityCommand": (introduction(command), of_docstring(command, command.__init__)),
        "steps.Battery": (introduction(battery), of_docstring(battery, battery.__init__)),
        "util.Units": (introduction(util.Units), of_docstring(util.Units, util.Units.__init__)),
        "steps.Pipeline": (introduction(pipeline), of_docstring(pipeline, pipeline.__init__)),
        "util.FleetEndpointMatcher": (introduction(rule), of_docstring(rule, rule.__init__)),
    }


#: Arguments of Buildbot's own workers that slots take, too (`worker_settings.KNOWN`).
PASSED_ON = ("notify_on_missing", "properties", "defaultProperties", "locks")
