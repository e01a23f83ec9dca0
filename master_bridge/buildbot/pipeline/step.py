"""`Pipeline`: a program of the repository, in any language, says what its build does.

    factory.addStep(steps.Git(repourl=…))
    factory.addStep(steps.Pipeline(command=["ci/pipeline"], may_require=["gtk", "python"]))

The program appends lines to the file that $BUILDBOT_PIPELINE names, one JSON object each; each becomes a step while the
program runs. docs/how-to/pipelines.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buildbot import config
from buildbot.interfaces import IRenderable
from buildbot.process.buildstep import BuildStep
from buildbot.process.remotecommand import RemoteCommand
from buildbot.process.results import SUCCESS, Results, worst_status
from buildbot.steps.shell import ShellCommand
from twisted.internet import defer

from contracts.pipeline import lines
from contracts.pipeline.script import HARMLESS, Allowed, Entry
from master_bridge.buildbot.pipeline import children
from master_bridge.buildbot.pipeline.listening import LineListener
from master_bridge.buildbot.pipeline.memory import Memory, digest_of
from master_bridge.buildbot.pipeline.progress import Nesting, Progress

#: Name of the log that holds what the program said.
SAID = "pipeline"
#: Steps of one pipeline that are looked for, or run, at once, beside the one in the build's own folder.
SIDE_BY_SIDE = 32
#: In `may_require`: all capabilities that agents offer.
EVERYTHING = "*"
#: Bytes of a file that a pipeline may have the master keep.
UPLOAD_MAX = 1024**3


class Pipeline(ShellCommand):
    """Runs a program whose lines become steps of the build, while it runs. Takes every argument of `ShellCommand`, too.

    The program appends lines to the file that the variable BUILDBOT_PIPELINE names: one JSON object a line. A `run`
    with `requires` runs on any agent that offers that, beside others; one without runs in the build's own folder, in
    the order of the lines. The step fails with the program, with a step, and with a line that cannot be read.

    Args:
        allow (list of texts): Types of lines that the program may say: "run", "battery", "trigger", "upload",
            "property", "wait", "pipeline". What may be said is decided here, not by the repository.
        may_require (list of texts): Names of capabilities that `requires` may name, as in ["gtk", "python"]; "any":
            `requires` may be [], any agent; "*": all that agents offer. An empty list: the build's own worker only.
        schedulers (list of texts): Names of the Triggerable schedulers that `trigger` may start.
        uploads (text, may be rendered): Folder on the master for the files of `upload`; None: no such lines.
        stdout (True or False): True: the lines come on standard output instead of a file.
        side_by_side (whole number; steps): So many steps with `requires` are looked for, or run, at once.
    """

    logfiles: dict[str, Any]
    env: dict[str, Any]

    name = "pipeline"
    renderables = ("uploads",)

    def __init__(
        self,
        *,
        allow: Any = HARMLESS,
        may_require: Any = (),
        schedulers: Any = (),
        uploads: Any = None,
        stdout: bool = False,
        side_by_side: int = SIDE_BY_SIDE,
        **kwargs: Any,
    ) -> None:
        self.allow = allow
        self.may_require = may_require
        self.schedulers = schedulers
        self.uploads = uploads
        self.stdout = stdout
        self.side_by_side = side_by_side
        for problem in _wrong(self.allow, may_require, schedulers, uploads, side_by_side):
            config.error(f"Pipeline: {problem}")
        if not kwargs.get("command"):
            config.error("Pipeline: command is missing: the program that says the lines, as in ['ci/pipeline']")
        if SAID in kwargs.get("logfiles", {}):
            config.error(f"Pipeline: logfiles: {SAID} is the log of what the program says: choose another name")
        #: what it is called among the steps of its build, after a restart of the master as well
        self.work_name: str | None = None
        #: of all pipelines of the build that are in one another
        self.nesting = Nesting()
        self.progress: Progress | None = None
        super().__init__(**kwargs)

    @defer.inlineCallbacks
    def run(self) -> Any:
        self.work_name = self.work_name or str(self.number)
        if self.nesting.memory is None:
            memory = Memory(self.build)
            yield memory.load()
            self.nesting = replace(self.nesting, memory=memory)
        self.progress = progress = Progress(self, self._allowed())
        path = self._file()
        if not self.stdout:
            # Buildbot's own worker loses the beginning of a new file that it follows
            self.logfiles = {**self.logfiles, SAID: {"filename": path, "follow": False}}
            self.env = {**self.env, "BUILDBOT_PIPELINE": path, "BUILDBOT_PIPELINE_VERSION": str(lines.VERSION)}
            yield self._remove(path)  # what an attempt before this one said
        command = yield self.makeRemoteShellCommand()
        LineListener(progress.take).setLog((yield self.getLog("stdio" if self.stdout else SAID)))
        try:
            yield self.runCommand(command)
        finally:
            yield progress.all_ended()
        yield self.addCompleteLog("lines", progress.account.text(progress.problem))
        if not self.stdout and not self.stopped and self.build.conn is not None:
            yield self._remove(path)
        return worst_status(command.results(), progress.result)

    def _remove(self, path: str) -> Any:
        return self.runCommand(RemoteCommand("rmfile", {"path": path}, ignore_updates=True))

    def _allowed(self) -> Allowed:
        return Allowed(
            types=frozenset(self.allow) - (frozenset() if self.uploads else {"upload"}),
            requirements=None if EVERYTHING in self.may_require else frozenset(self.may_require),
            schedulers=frozenset(self.schedulers),
        )

    def _file(self) -> str:
        """Beside the folder of the sources, so that no clean-up of theirs meets it; another for each build request."""
        name = f"pipeline-{self.build.requests[0].id}-{self.work_name}.jsonl"
        return str(self.build.path_module.join(self.getProperty("builddir"), name))

    def step_of(self, entry: Entry) -> Any:
        """A step of this build that carries out the line."""
        (step,) = self.build.setupBuildSteps([self._made(entry)])
        step.adding, step.memory, step.digest = self.nesting.adding, self.nesting.memory, digest_of(entry.line)
        step.work_name = f"{self.work_name}.{entry.number}"
        if isinstance(step, Pipeline):
            step.nesting = self.nesting.inner()
        return step

    def _made(self, entry: Entry) -> BuildStep:
        line = entry.line
        folder = self.workdir if isinstance(self.workdir, str) else "build"
        if isinstance(line, lines.RunLine):
            if line.requires is not None:
                return children.command_elsewhere(entry, line)
            return children.own_command(entry, line, folder, self._own_env())
        if isinstance(line, lines.BatteryLine):
            return children.battery(entry, line, folder)
        if isinstance(line, lines.UploadLine):
            return children.kept_file(entry, line, folder, self.uploads, UPLOAD_MAX)
        if isinstance(line, lines.TriggerLine):
            return children.other_builds(entry, line)
        assert isinstance(line, lines.ProgramLine)
        arguments = children.shell_arguments(line, entry.name, folder)
        arguments["env"] = {**self._own_env(), **arguments["env"]}
        return NestedPipeline(
            allow=self.allow,
            may_require=self.may_require,
            schedulers=self.schedulers,
            uploads=self.uploads,
            side_by_side=self.side_by_side,
            **arguments,
        )

    def _own_env(self) -> dict[str, Any]:
        """What the builder sets for the program is set for its commands in the build's folder, too."""
        return {name: value for name, value in self.env.items() if not name.startswith("BUILDBOT_PIPELINE")}

    def interrupt(self, reason: Any) -> Any:
        """A Stop, or a lost worker: of the program, and of all its steps that run."""
        waits = [defer.maybeDeferred(super().interrupt, reason)]
        if self.progress is not None:
            waits += self.progress.interrupt(reason)
        return defer.gatherResults(waits, consumeErrors=True)

    def getCurrentSummary(self) -> Any:
        return {"step": "starts" if self.progress is None else self.progress.summary()}

    def getResultSummary(self) -> Any:
        text = self.getCurrentSummary()["step"]
        if self.results not in (SUCCESS, None):
            text += f" ({Results[self.results]})"
        return {"step": text}


class NestedPipeline(children.Child, Pipeline):
    """`pipeline`: a program that a line of another one names."""


def _wrong(allow: Any, may_require: Any, schedulers: Any, uploads: Any, side_by_side: Any) -> list[str]:
    """What cannot be meant in a pipeline's arguments, with the remedy."""
    problems = []
    known = [name for name in lines.MODELS if name != "version"]
    if isinstance(allow, str) or not all(name in known for name in allow):
        problems.append(f"allow={allow!r}: give a list of {', '.join(known)}")
    if isinstance(may_require, str) or not all(isinstance(each, str) for each in may_require):
        problems.append(f'may_require={may_require!r}: give a list of names of capabilities, "any", or "*" for all')
    if isinstance(schedulers, str) or not all(isinstance(each, str) for each in schedulers):
        problems.append(f"schedulers={schedulers!r}: give a list of names of Triggerable schedulers")
    if uploads is not None and not isinstance(uploads, str) and not IRenderable.providedBy(uploads):
        problems.append(f"uploads={uploads!r}: give the path of a folder on the master")
    if not isinstance(allow, str) and "upload" in allow and uploads is None:
        problems.append('allow names "upload": give the folder for those files, too: uploads="…"')
    if not isinstance(allow, str) and "trigger" in allow and not schedulers:
        problems.append('allow names "trigger": give the names of the schedulers, too: schedulers=["…"]')
    if not isinstance(side_by_side, int) or side_by_side < 1:
        problems.append(f"side_by_side={side_by_side!r}: give a number from 1 on")
    return problems
