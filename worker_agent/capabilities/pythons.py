"""Ask one Python, in one process, for its version and for every configured module.

Modules are imported, not only looked for: a build imports them, too. The script runs under Python 2.6 and later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from worker_agent.capabilities.commands import clean, last_line
from worker_agent.capabilities.inventory import Evidence, Failure, Stamp
from worker_agent.capabilities.options import BadCapability, DetectOptions, checked
from worker_agent.capabilities.probe_files import Module, Probe
from worker_agent.capabilities.run import run, scrubbed_environment

#: Begins each line of the script's; modules may print as well.
_MARK = "worker-agent-probe"

#: Arguments: the modules to import, and with a `?` before it those to look for only. Prints what it knows as soon as it
#: knows it, so that a module that hangs costs only what comes after it. A folder without code is no module.
_SCRIPT = f"""
import sys
out = sys.stdout
def say(*words):
    out.write("\\n{_MARK}\\t" + "\\t".join([" ".join(str(word).split()) for word in words]) + "\\n")
    out.flush()
level = {{"alpha": "a", "beta": "b", "candidate": "rc"}}
v = sys.version_info
text = "%d.%d.%d" % tuple(v[:3])
if v[3] in level:
    text = text + level[v[3]] + str(v[4])
say("python", "pypy" if "__pypy__" in sys.builtin_module_names else "python", text)
def version_of(name):
    try:
        from importlib.metadata import version
        return version(name)
    except Exception:
        return ""
for name in sys.argv[1:]:
    if name[:1] == "?":
        name = name[1:]
        try:
            from importlib.util import find_spec
            spec = find_spec(name)
            if spec is not None and spec.origin:
                say("module", name, version_of(name), spec.origin)
        except ImportError:
            pass
        continue
    try:
        __import__(name)
    except ImportError:
        error = sys.exc_info()[1]
        missing = getattr(error, "name", None) or str(error).split()[-1].strip("'")
        if not (name + ".").startswith(missing + "."):
            say("broken", name, "ImportError: " + str(error))
        continue
    except BaseException:
        error = sys.exc_info()[1]
        say("broken", name, type(error).__name__ + ": " + str(error))
        continue
    module = sys.modules[name]
    if hasattr(module, "__path__") and not getattr(module, "__file__", None):
        continue
    version = getattr(module, "__version__", None) or getattr(module, "version", None)
    if isinstance(version, tuple):
        version = ".".join([str(part) for part in version])
    if not isinstance(version, str):
        version = ""
    say("module", name, version or version_of(name), getattr(module, "__file__", None) or "")
say("end")
"""


async def probe_python(
    name: str, probe: Probe, path: str, modules: Mapping[str, Module], options: DetectOptions
) -> tuple[Sequence[Evidence], Sequence[Failure]]:
    """The Python at `path`, and what it can import.

    PyPy counts as `pypy`, in the version of Python that it speaks. A module is announced under its own name and
    under that of its interpreter: `wx 4.2`, `python3.11-wx 4.2`.
    """
    names = {module.import_: module.name or key for key, module in modules.items()}
    heavy = {module.import_ for module in modules.values() if module.heavy}
    command = [path, "-c", _SCRIPT, *(f"?{module}" if module in heavy else module for module in names)]
    ran = await run(
        command,
        timeout=probe.timeout or options.timeout,
        environment=scrubbed_environment(
            options.search_path, {"PYTHONDONTWRITEBYTECODE": "1", **probe.environment}, options.user
        ),
        user=options.user,
    )
    when = time.time()
    stamp = Stamp.of(path)
    evidence: list[Evidence] = []
    failures: list[Failure] = []
    interpreter = ""

    def found(capability: str, version: str, how: str, line: str, shown: str) -> None:
        try:
            evidence.append(
                Evidence(
                    capability=checked(capability, version or None),
                    probe=name,
                    how=how,
                    when=when,
                    path=path,
                    command=shown,
                    line=line,
                    stamp=stamp,
                )
            )
        except BadCapability as error:
            failures.append(Failure(probe=name, reason=str(error), when=when, path=path))

    ended = False
    for line in ran.output.splitlines():
        mark, *words = line.split("\t")
        if mark != _MARK or not words:
            continue
        if words[0] == "python" and len(words) == 3:
            interpreter = words[1] + ".".join(words[2].split(".")[:2])
            found(words[1], words[2], "command", words[2], f"{path} -c …")
        elif words[0] == "module" and len(words) >= 3 and words[1] in names and interpreter:
            version = words[2].split(" ")[0]
            for capability in (names[words[1]], f"{interpreter}-{names[words[1]]}"):
                found(
                    capability, version, "python module", clean(" ".join(words[1:])), f"{path} -c 'import {words[1]}'"
                )
        elif words[0] == "broken" and len(words) == 3:
            failures.append(Failure(probe=name, reason=f"import {words[1]}: {clean(words[2])}", when=when, path=path))
        elif words[0] == "end":
            ended = True
    if not ended:
        reason = ran.problem or f"ended with exit code {ran.code}: {last_line(ran.output)}"
        if interpreter:
            reason += "; the modules that come after are not known"
        failures.append(Failure(probe=name, reason=reason, when=when, path=path, late=ran.late))
    return evidence, failures
