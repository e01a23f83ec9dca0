"""Steps that run commands: every argument of ShellCommand, and the steps built-upon."""
# the pieces of master.cfg have lines of their own

from __future__ import annotations

import pytest

from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture
from tests.buildbot.parity.comparing.side_by_side import SideBySide

CONFIG = r"""
from buildbot.process import logobserver
from buildbot.process.results import SUCCESS, WARNINGS
os.makedirs(os.path.join(OUT, 'secrets'), mode=0o700, exist_ok=True)
with open(os.path.join(OUT, 'secrets', 'word'), 'w') as f:
    f.write('open-sesame')
os.chmod(os.path.join(OUT, 'secrets', 'word'), 0o600)
c.setdefault('secretsProviders', []).append(secrets.SecretInAFile(dirname=os.path.join(OUT, 'secrets')))

S = steps.ShellCommand
GO = dict(haltOnFailure=False, flunkOnFailure=False)
each('basic',
    S(name='text', command='echo hello; echo $((1+1))'),
    S(name='list', command=['printf', '%s\\n', 'a b', '', "it's", '$HOME']),
    S(name='unicode', command=['echo', 'gr\u00fc\u00dfe \u2603']),
    S(name='fails', command='exit 3', **GO),
    S(name='warns', command='exit 3', decodeRC={0: SUCCESS, 3: WARNINGS}, **GO),
    S(name='killed', command='kill -9 $$', **GO),
    S(name='described', command='true', description='doing', descriptionDone='done', descriptionSuffix='it'),
    S(name='missing', command=['no-such-program', 'x'], **GO),
    S(name='both', command='echo out; sleep .2; echo err >&2; sleep .2; echo out again'),
    S(name='no stdout', command='echo out; echo err >&2', want_stdout=False),
    S(name='no stderr', command='echo out; echo err >&2', want_stderr=False),
    S(name='quiet', command='true', logEnviron=False),
    S(name='workdir', command='pwd; echo $PWD', workdir='other/place'),
    S(name='stdin', command='cat; echo end', initialStdin='some\ntext'),
    S(name='terminal', command='test -t 1 && echo a terminal', usePTY=True),
    S(name='env', command='echo "$A-$B-$C-$HOME"',
        env={'A': '1', 'B': ['x', 'y'], 'C': '${A}${PATH}', 'HOME': None, 'PYTHONPATH': ['/p', '/q']}),
    S(name='hides', command=['echo', ('obfuscated', 'hidden-word', 'XXXX')]),
)
each('limits',
    S(name='silent', command='echo begin; sleep 30', timeout=1, **GO),
    S(name='too long', command='while :; do echo x; sleep .4; done', maxTime=1, **GO),
    S(name='too much', command="printf '1\n2\n3\n4\n'; sleep 30", max_lines=2, **GO),
    S(name='polite', command='echo begin; exec sleep 30', timeout=1, sigtermTime=5, **GO),
    S(name='signal', command="trap 'exit 4' INT; echo begin; while :; do sleep .05; done",
        timeout=1, interruptSignal='INT', sigtermTime=None, **GO),
    S(name='in time', command='for i in 1 2 3; do echo $i; sleep .3; done', timeout=5, maxTime=20),
)
each('last-words',
    S(name='speaks', command="trap 'echo bye; exit 4' INT; echo begin; while :; do sleep .05; done",
        timeout=1, interruptSignal='INT', **GO),
)
each('logfiles',
    S(name='before', command='echo old > old.log'),
    S(name='grows', command='echo one > g.log; sleep 1; echo two >> g.log', logfiles={'extra': 'g.log'}),
    S(name='as dict', command='echo one > d.log', logfiles={'extra': {'filename': 'd.log'}}),
    S(name='missing', command='true', logfiles={'extra': 'nothing.log'}),
    S(name='lazy', command='true', logfiles={'extra': 'nothing.log'}, lazylogfiles=True),
    S(name='lazy and there', command='echo one > l.log', logfiles={'extra': 'l.log'}, lazylogfiles=True),
    S(name='follows', command='sleep .5; echo first addition >> old.log; sleep 2.5; echo next >> old.log',
        logfiles={'extra': {'filename': 'old.log', 'follow': True}}),
    S(name='two', command='echo one > 1.log; echo two > 2.log', logfiles={'first': '1.log', 'second': '2.log'}),
)
class Parsing(logobserver.LogLineObserver):
    def outLineReceived(self, line):
        self.step.setProperty('seen', line, 'observer')
class Observed(steps.ShellCommand):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.addLogObserver('stdio', Parsing())
each('built-upon',
    steps.ShellSequence(name='sequence', commands=[
        util.ShellArg(command=['echo', 'one'], logname='first'),
        util.ShellArg(command='echo two; exit 1', logname='second', warnOnFailure=True),
        util.ShellArg(command=['echo', 'three'], logname='third', haltOnFailure=True)]),
    steps.Compile(name='compile', command='echo "x.c:3: warning: bad"; echo fine', warnOnWarnings=True),
    steps.Test(name='test', command='echo "5 tests, 1 failed"; exit 1', **GO),
    steps.SetPropertyFromCommand(name='set', command='printf " value "', property='got'),
    steps.SetPropertyFromCommand(name='set raw', command='printf " value "', property='raw', strip=False),
    steps.SetPropertyFromCommand(name='set many', command='echo a=1; echo b=2 >&2',
        extract_fn=lambda rc, out, err: {'out': out, 'err': err, 'rc': rc}, includeStderr=True),
    steps.SetPropertyFromCommand(name='set fails', command='echo no; exit 2', property='never', **GO),
    steps.SetProperty(name='plain', property='plain', value=util.Interpolate('<%(prop:got)s>')),
    steps.ShellCommand(name='uses', command=['echo', util.Property('got'), util.Interpolate('%(prop:plain)s')]),
    Observed(name='observed', command='echo first; echo last'),
    steps.TreeSize(name='size', command=['echo', '123 total']),
    steps.PerlModuleTest(name='perl', command='echo "ok"; echo "Failed 0/1"; echo "Files=1, Tests=2"', **GO),
    steps.RemovePYCs(name='pyc'),
)
each('secret',
    S(name='text', command=util.Interpolate('echo %(secret:word)s')),
    S(name='list', command=['echo', util.Secret('word'), 'x']),
    S(name='error', command=util.Interpolate('echo "<%(secret:word)s>" >&2; exit 1'), **GO),
    S(name='in env', command='echo "$WORD"', env={'WORD': util.Secret('word')}),
    S(name='in a file', command=util.Interpolate('echo %(secret:word)s > s.log'), logfiles={'extra': 's.log'}),
    S(name='split', command='printf open-; sleep .5; echo sesame'),
    S(name='shows', command='cat s.log | tr a-z A-Z'),
)
each('halts',
    S(name='fails', command='exit 1', haltOnFailure=True),
    S(name='never', command='true'),
    S(name='always', command='echo always', alwaysRun=True),
    S(name='hidden', command='true', alwaysRun=True, hideStepIf=True),
)
each('goes-on',
    S(name='skipped', command='true', doStepIf=False),
    S(name='asks', command='true', doStepIf=lambda step: step.getProperty('buildnumber') > 100),
    S(name='warns', command='exit 1', warnOnFailure=True, flunkOnFailure=False, haltOnFailure=False),
    S(name='fails', command='exit 1', haltOnFailure=False),
    S(name='runs', command='true'),
)
"""
NAMES = ("basic", "limits", "logfiles", "built-upon", "secret", "halts", "goes-on")
#: builder -> step -> listed differences
LISTED = {
    "basic": {"missing": ["traceback"]},
    "built-upon": {"set": ["last-line"], "set raw": ["last-line"]},
    "logfiles": {"follows": ["follow"]},
}


@pytest.fixture(scope="module")
def pictures(shared: SideBySide) -> dict[str, dict[str, BuildPicture]]:
    return shared.add(CONFIG).run([*NAMES, "last-words"])


@pytest.mark.parametrize("run", ["pb", "msgpack"])
@pytest.mark.parametrize("name", NAMES)
def test_steps_that_run_commands_are_the_same(
    name: str, run: str, pictures: dict[str, dict[str, BuildPicture]]
) -> None:
    """Results, texts, properties and logs, line by line."""
    found = differences(pictures[name][run], pictures[name]["amqp"], LISTED.get(name))
    assert not found, "\n".join(found)


def test_the_steps_did_what_they_are_for(pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """So that workers which do nothing at all are not equal."""
    results = {name: {step.name: step.result for step in runs["amqp"].steps} for name, runs in pictures.items()}
    assert [name for name, result in results["basic"].items() if result != "SUCCESS"] == [
        "fails", "warns", "killed", "missing",
    ]  # fmt: skip
    assert set(results["limits"].values()) == {"FAILURE", "SUCCESS"}
    assert results["built-upon"]["set fails"] == "FAILURE"
    assert results["halts"] == {"fails": "FAILURE", "always": "SUCCESS", "hidden": "SUCCESS"}
    assert results["goes-on"]["skipped"] == results["goes-on"]["asks"] == "SKIPPED"
    assert pictures["goes-on"]["amqp"].result == "FAILURE"
    assert pictures["built-upon"]["amqp"].properties["got"] == ('"value"', "SetPropertyFromCommand Step")


def test_a_followed_file_is_sent_from_where_it_was(pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """With `follow`, what the file had before the command is not in the log; each addition is, once."""
    step = next(each for each in pictures["logfiles"]["amqp"].steps if each.name == "follows")
    assert [line.lstrip("o") for line in step.logs["extra"][1]] == ["first addition", "next"]


def test_last_words_are_heard(pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """What a program prints on its way out is in the log, and its exit code is its own.

    Buildbot's worker closes the pipe at once: the program's words are lost, or SIGPIPE ends it.
    """
    runs = pictures["last-words"]
    found = {run: "\n".join(runs[run].steps[0].logs["stdio"][1]).split("attempting to kill")[1] for run in runs}
    assert found["amqp"].split("\n")[1:3] == ["obye", "hprogram finished with exit code 4"]
    assert "obye" not in found["pb"]


def test_a_secret_is_in_no_log(pictures: dict[str, dict[str, BuildPicture]]) -> None:
    """Neither in the command's line, environment, output, log files nor states."""
    for step in pictures["secret"]["amqp"].steps:
        assert "open-sesame" not in step.state
        for _type, lines in step.logs.values():
            assert "open-sesame" not in "\n".join(lines)
