"""Secrets of a real master, printed by a real agent's commands so that every border of the way lies across them."""

from __future__ import annotations

import bz2
import os
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.timing import EVENT_DATA_MAX
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster

pytestmark = pytest.mark.timeout(300)

WORD = "correct-horse-battery-staple"
KEY = "-----BEGIN KEY-----\nMIIBVwIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"
#: Buildbot splits longer lines here, characters.
LINE = 64 * 1024
HALF = len(WORD) // 2


@pytest.mark.long
def test_a_secret_across_any_border_is_replaced(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Pieces in time, an event's and a line's bound, both streams, a terminal, a log file: never the secret."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    for name, text in (("word", WORD), ("key", KEY)):
        (secrets / name).write_text(text)
        os.chmod(secrets / name, 0o600)
    event, line = "y" * 60 + "\n", "z" * (LINE - HALF)
    (tmp_path / "event").write_text(event * (EVENT_DATA_MAX // len(event)) + "y" * (EVENT_DATA_MAX % len(event) - HALF))
    (tmp_path / "line").write_text(line)
    # dash and bash: the first half, a pause in which it is sent, the second half
    in_pieces = f"w=$WORD; a=${{w%${{w#{'?' * HALF}}}}}; b=${{w#{'?' * HALF}}}; printf %s $a; sleep 0.6; echo $b"
    master = make_master(f"""
c['secretsProviders'] = [secrets.SecretInAFile(dirname={str(secrets)!r})]
c['workers'] = worker.amqp_column("any", workers=1, requires=["any"])
env = {{"WORD": util.Secret("word"), "KEY": util.Secret("key")}}
S = lambda name, command, **kwargs: steps.ShellCommand(name=name, command=command, env=env, logEnviron=False, **kwargs)
builder("b", c['workers'],
    S("argument", ["echo", util.Secret("word")]),
    S("time", {in_pieces!r}),
    S("error", {"{ " + in_pieces + "; } >&2"!r}),
    S("event", "cat {tmp_path}/event; echo $WORD"),
    S("line", "cat {tmp_path}/line; echo $WORD"),
    S("terminal", 'echo "$KEY"', usePTY=True),
    S("file", {"(" + in_pieces + ") > f.log; sleep 1"!r}, logfiles={{"extra": "f.log"}}),
)
""")
    agent = make_agent("a1")
    request = master.force("b")
    build = master.finished(request, 200)
    assert build.result == "SUCCESS", master.describe(request)
    assert master.output(build, "argument") == "<word>\n"
    assert master.output(build, "time") == "<word>\n"
    assert master.output(build, "error", streams="e") == "<word>\n"
    assert master.output(build, "event").endswith("y<word>\n")
    assert master.output(build, "line").replace("\n", "") == line + "<word>"
    assert master.output(build, "terminal").strip() == "<key>"
    assert master.output(build, "file", "extra") == "<word>\n"
    for step in build.steps.keys() - {"worker_preparation"}:  # which has no log
        told = master.step_log(build, step)
        assert not any(part in told for part in (WORD, WORD[: HALF + 4], WORD[HALF - 4 :], "hkiG9w0BAQEFAASC")), step
    master.stop()
    stored = _chunks(master.folder / "state.sqlite")
    # Buildbot's own lines in twistd.log have a command's arguments as they are, whatever the worker
    ours = "".join(line for line in master.log().splitlines() if "event=" in line) + agent.log()
    for text in (WORD, "hkiG9w0BAQEFAASC"):
        assert text.encode() not in stored
        assert text not in ours


#: name -> secret, and what of it may stand nowhere: no escape changes it
ODD = {
    "lines": ("alpha\nbravo\nlast", "bravo"),
    "ends": ("charlie9\n", "charlie9"),
    "slash": ("delta\\echo\\", "delta"),
    "quotes": ('it\'s a "foxtrot"', "foxtrot"),
    "letters": ("gölf€hotel", "hotel"),
    "money": ("$india`x`%juliett&", "juliett"),
}


def test_no_form_of_a_secret_stands_in_a_header(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Arguments as a Python list and as a shell's line, the environment, a program that is not there, an upload."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    for name, (text, _kernel) in ODD.items():
        (secrets / name).write_text(text)
        os.chmod(secrets / name, 0o600)
    master = make_master(f"""
c['secretsProviders'] = [secrets.SecretInAFile(dirname={str(secrets)!r}, strip=False)]
c['workers'] = worker.amqp_column("any", workers=1, requires=["any"])
GO = dict(haltOnFailure=False, flunkOnFailure=False)
def each(name):
    secret = util.Secret(name)
    text = util.Interpolate(f"%(secret:{{name}})s")
    return [
        steps.ShellCommand(name=f"{{name}} list", command=["printf", "<%s|%s>\\n", secret,
            util.Interpolate(f"--x=%(secret:{{name}})s's \\"y\\"")]),
        steps.ShellCommand(name=f"{{name}} env", command="printf '<%s>\\n' \\"$IT\\"", env={{"IT": secret}}),
        steps.ShellCommand(name=f"{{name}} missing", command=["no-such-program", secret], **GO),
        steps.ShellCommand(name=f"{{name}} lines", command=["sh", "-c", "seq 100", "name", secret], max_lines=3, **GO),
        steps.ShellCommand(name=f"{{name}} python", command=["python3", "-c",
            "import sys; print(sys.argv[1:], ascii(sys.argv[1])); raise ValueError(sys.argv[1:])", secret], **GO),
        steps.FileUpload(name=f"{{name}} upload", workersrc=text, masterdest="nothing", **GO),
        steps.CapabilityCommand(name=f"{{name}} elsewhere", command=["printf", "<%s>\\n", secret], requires=["any"]),
    ]
builder("b", c['workers'], *(step for name in {sorted(ODD)!r} for step in each(name)))
""")
    agent = make_agent("a1", slots=2)
    request = master.force("b")
    build = master.finished(request, 250)
    assert build.result == "SUCCESS", master.describe(request)
    for name, (_secret, kernel) in ODD.items():
        for step in build.steps:
            if step.startswith(f"{name} "):
                told = "".join(
                    str(master.get(f"/logs/{log['logid']}/contents")["logchunks"][0]["content"])
                    for log in master.get(f"/steps/{build.steps[step]['stepid']}/logs")["logs"]
                )
                assert f"<{name}>" in told, (step, told)
                assert kernel not in told, (step, told)
    master.stop()
    stored = _chunks(master.folder / "state.sqlite")
    ours = "".join(line for line in master.log().splitlines() if "event=" in line) + agent.log()
    for _secret, kernel in ODD.values():
        assert kernel.encode() not in stored
        assert kernel not in ours


def _chunks(database: Path) -> bytes:
    """All that is stored of logs, unpacked."""
    unpack: dict[int, Callable[[bytes], bytes]] = {0: bytes, 1: zlib.decompress, 2: bz2.decompress}
    connection = sqlite3.connect(database)
    try:
        rows = connection.execute("select content, compressed from logchunks").fetchall()
    finally:
        connection.close()
    assert rows
    return b"".join(unpack[how](content) for content, how in rows)
