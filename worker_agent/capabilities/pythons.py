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
    said = _Said(name, path, names)
    for line in ran.output.splitlines():
        mark, *words = line.split("\t")
        if mark == _MARK and words:
            said.line(words)
    if not said.ended:
        reason = ran.problem or f"ended with exit code {ran.code}: {last_line(ran.output)}"
        if said.interpreter:
            reason += "; the modules that come after are not known"
        said.fail(reason, late=ran.late)
    return said.evidence, said.failures


class _Said:
    """What the script of probe `probe` says, run by the Python at `path`. `names`: module -> its capability."""

    def __init__(self, probe: str, path: str, names: Mapping[str, str]) -> None:
        self.evidence: list[Evidence] = []
        self.failures: list[Failure] = []
        #: "python3.11", once it has said so
        self.interpreter = ""
        #: it came to its end
        self.ended = False
        self._probe = probe
        self._path = path
        self._names = names
        self._when = time.time()
        self._stamp = Stamp.of(path)

    def line(self, words: list[str]) -> None:
        what = words[0]
        if what == "python" and len(words) == 3:
            self.interpreter = words[1] + ".".join(words[2].split(".")[:2])
            self._found(words[1], words[2], how="command", line=words[2], command=f"{self._path} -c …")
        elif what == "module" and len(words) >= 3 and words[1] in self._names and self.interpreter:
            said, command = clean(" ".join(words[1:])), f"{self._path} -c 'import {words[1]}'"
            name = self._names[words[1]]
            for capability in (name, f"{self.interpreter}-{name}"):
                self._found(capability, words[2].split(" ")[0], how="python module", line=said, command=command)
        elif what == "broken" and len(words) == 3:
            self.fail(f"import {words[1]}: {clean(words[2])}")
        elif what == "end":
            self.ended = True

    def fail(self, reason: str, *, late: bool = False) -> None:
        self.failures.append(Failure(probe=self._probe, reason=reason, when=self._when, path=self._path, late=late))

    def _found(self, capability: str, version: str, *, how: str, line: str, command: str) -> None:
        try:
            checked_one = checked(capability, version or None)
        except BadCapability as error:
            self.fail(str(error))
            return
        self.evidence.append(
            Evidence(
                capability=checked_one,
                probe=self._probe,
                how=how,
                when=self._when,
                path=self._path,
                command=command,
                line=line,
                stamp=self._stamp,
            )
        )
