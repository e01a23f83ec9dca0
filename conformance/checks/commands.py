"""`shell`: how it is run and what is said of it (docs/protocol.md, "Commands")."""

from __future__ import annotations

from conformance.errors import expect
from conformance.requirement import Topic
from conformance.stage import Stage, shell_args

requirement = Topic()
RULE = "Commands"


@requirement("shell.runs", "`shell` runs: started, its output, rc 0, completed without a failure", rule=RULE)
def runs(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "echo hello")
    expect(completed.value is None, f"it completed with the failure {completed.value!r}", completed)
    expect(completed.interrupted is None, "it says that it was interrupted", completed)
    expect(session.data(1, "stdout") == b"hello\n", f"stdout is {session.data(1, 'stdout')!r}", completed)
    expect(session.updates(1).get("rc") == 0, f"rc is {session.updates(1).get('rc')!r}", completed)
    stage.finish(session)


@requirement("shell.rc", "The exit code is told as the update `rc`", rule=RULE)
def rc(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "exit 3")
    expect(session.updates(1).get("rc") == 3, f"rc is {session.updates(1).get('rc')!r}, not 3", completed)
    expect(completed.value is None, "an exit code is no failure of the agent", completed)
    stage.finish(session)


@requirement("shell.streams", "Output and errors, stdout and stderr, are told apart", rule=RULE)
def streams(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "echo out; echo err >&2")
    for kind, text in (("stdout", b"out\n"), ("stderr", b"err\n")):
        expect(session.data(1, kind) == text, f"{kind} is {session.data(1, kind)!r}, not {text!r}", completed)
    stage.finish(session)


@requirement("shell.argv", "A command that is a list runs without a shell, its words untouched", rule=RULE)
def argv(stage: Stage) -> None:
    session = stage.session()
    args = shell_args("") | {"command": ["printf", "%s|", "a b", "$HOME", "*"]}
    completed = stage.run(session, 1, "shell", args)
    text = session.data(1, "stdout")
    expect(text == b"a b|$HOME|*|", f"the words arrived as {text!r}", completed)
    stage.finish(session)


@requirement("shell.string", "A command that is a text is run by a shell", rule=RULE)
def string(stage: Stage) -> None:
    session = stage.session()
    completed = stage.run(session, 1, "shell", shell_args("") | {"command": "echo one && echo two"})
    text = session.data(1, "stdout")
    expect(text == b"one\ntwo\n", f"stdout is {text!r}", completed)
    stage.finish(session)


@requirement(
    "shell.workdir", "It runs in `workdir` below the offer's builddir, which is made when it is not there", rule=RULE
)
def workdir(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "pwd", workdir="some/place")
    folder = session.data(1, "stdout").decode(errors="replace").strip()
    expect(folder.endswith(f"/{session.offer.builddir}/some/place"), f"it ran in {folder!r}", completed)
    stage.finish(session)


@requirement("shell.environment", "`env` adds to the agent's environment; null removes", rule=RULE)
def environment(stage: Stage) -> None:
    session = stage.session()
    script = 'echo "$GREETING|${HOME-none}|${PATH:+path}"'
    completed = stage.shell(session, 1, script, env={"GREETING": "hello", "HOME": None})
    text = session.data(1, "stdout")
    expect(text == b"hello|none|path\n", f"it printed {text!r}", completed)
    stage.finish(session)


@requirement("shell.stdin", "`initial_stdin` is the command's standard input; without it that is empty", rule=RULE)
def stdin(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "cat", initial_stdin="in\nput")
    completed = stage.shell(session, 2, "cat; echo end")
    expect(session.data(1, "stdout") == b"in\nput", f"it read {session.data(1, 'stdout')!r}", completed)
    expect(session.data(2, "stdout") == b"end\n", f"it read {session.data(2, 'stdout')!r}", completed)
    stage.finish(session)


@requirement(
    "shell.timeout", "Without output for `timeout` seconds it is killed, and failure_reason says so", rule=RULE
)
def timeout(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "echo $$; exec sleep 600", timeout=1)
    expect(session.updates(1).get("rc") != 0, "rc is 0", completed)
    reason = session.updates(1).get("failure_reason")
    expect(reason == "timeout_without_output", f"failure_reason is {reason!r}", completed)
    expect(completed.interrupted is None, "nobody interrupted it", completed)
    stage.finish(session)


@requirement(
    "shell.max-time", "After `maxTime` seconds it is killed, and failure_reason says so", rule=RULE, level="should"
)
def max_time(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "while sleep 0.1; do echo on; done", maxTime=1)
    reason = session.updates(1).get("failure_reason")
    expect(reason == "timeout", f"failure_reason is {reason!r}", completed)
    stage.finish(session)


@requirement("shell.secrets", 'A word ["obfuscated", real, shown] is run as real and told as shown', rule=RULE)
def secrets(stage: Stage) -> None:
    session = stage.session()
    args = shell_args("") | {"command": ["/bin/echo", ["obfuscated", "s3cret", "<password>"]]}
    completed = stage.run(session, 1, "shell", args)
    text = session.data(1, "stdout")
    expect(text == b"s3cret\n", f"it printed {text!r}", completed)
    told = session.data(1, "header")
    expect(b"s3cret" not in told, "the header shows the real word", completed)
    stage.finish(session)


@requirement(
    "shell.missing", "A program that does not exist ends with an rc other than 0, not with a dead agent", rule=RULE
)
def missing(stage: Stage) -> None:
    session = stage.session()
    completed = stage.run(session, 1, "shell", shell_args("") | {"command": ["/nonexistent/program"]})
    rc = session.updates(1).get("rc")
    expect(rc not in (None, 0) or completed.value is not None, f"rc is {rc!r} and there is no failure", completed)
    stage.shell(session, 2, "true")
    stage.finish(session)


@requirement(
    "shell.log-files", "Files named in `logfiles` are followed and told as `log` events", rule=RULE, level="should"
)
def log_files(stage: Stage) -> None:
    session = stage.session()
    completed = stage.shell(session, 1, "echo one > a.log; sleep 3; echo two >> a.log", logfiles={"a": "a.log"})
    text = b"".join(event.data for event in session.of(1, "log") if event.value == "a")
    expect(text == b"one\ntwo\n", f"the log's content is {text!r}", completed)
    stage.finish(session)


@requirement("commands.several", "Commands of one session share its folder; their events go on counting", rule=RULE)
def several(stage: Stage) -> None:
    session = stage.session()
    stage.shell(session, 1, "echo kept > file")
    completed = stage.shell(session, 2, "cat file")
    expect(session.data(2, "stdout") == b"kept\n", f"the second read {session.data(2, 'stdout')!r}", completed)
    stage.finish(session)


@requirement("commands.unknown", "A command it does not know completes with a failure's text", rule=RULE)
def unknown(stage: Stage) -> None:
    session = stage.session()
    completed = stage.run(session, 1, "no-such-command", {})
    expect(isinstance(completed.value, str) and completed.value, f"its failure is {completed.value!r}", completed)
    stage.shell(session, 2, "true")
    stage.finish(session)
