"""Checkouts: Git in all modes and methods, with submodules and over ssh with a secret key; Mercurial; Subversion."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.buildbot.parity.comparing.compare import differences
from tests.buildbot.parity.comparing.picture import BuildPicture
from tests.buildbot.parity.comparing.repositories import SshServer, git_repository, hg_repository, svn_repository
from tests.buildbot.parity.comparing.side_by_side import Builders, SideBySide

RUNS = ("pb", "amqp")
#: `stat` of a file that a checkout may have left says that there is none, in a line without an end
LISTED = dict.fromkeys(("git", "known", "password", "hg", "svn"), ("last-line",))
_CONFIG = """
LOOK = steps.ShellCommand(name='look', command='cat file; find . -name ".git" -prune -o -name ".hg" -prune -o '
    '-name ".svn" -prune -o -type f -print | sort', logEnviron=False)
MESS = steps.ShellCommand(name='mess', command='echo changed > file; echo new > untracked; echo o > ignored.o',
    logEnviron=False)
"""
_GIT = """
WHOLE = {url!r}
def git(name, **kwargs):
    kwargs = dict(dict(repourl=WHOLE, branch='main', logEnviron=False, progress=False,
        config={{'protocol.file.allow': 'always'}}), **kwargs)
    each(name, steps.Git(name='git', **kwargs), LOOK, MESS)
for method in ('clobber', 'fresh', 'clean', 'copy'):
    git('git-full-' + method, mode='full', method=method)
git('git-incremental', mode='incremental')
git('git-shallow', mode='full', method='clobber', shallow=1)
git('git-submodules', mode='full', method='fresh', submodules=True)
git('git-tag', mode='full', method='clobber', branch='v1', alwaysUseLatest=True, getDescription=True)
git('git-missing', mode='full', method='clobber', branch='no-such-branch', retry=None)
each('git-commands', steps.Git(name='git', repourl=WHOLE, branch='main', logEnviron=False, progress=False),
    steps.GitTag(name='tag', tagName='mine', force=True, workdir='build', logEnviron=False),
    steps.GitCommit(name='commit', workdir='build', paths=['file'], messages=['m'], emptyCommits='create-empty-commit',
        logEnviron=False))
"""
_SSH = """
os.makedirs(OUT + '/keys', mode=0o700, exist_ok=True)
for name, text in (('key', {key!r}), ('password', 'open-sesame-2')):
    with open(OUT + '/keys/' + name, 'w', opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
        f.write(text)
class Keys(secrets.SecretInAFile):
    name = 'keys'  # Buildbot takes two providers of one name for one
c.setdefault('secretsProviders', []).append(Keys(dirname=OUT + '/keys', strip=False))
each('git-ssh', steps.Git(name='git', repourl={url!r}, branch='main', mode='full', method='clobber', progress=False,
    sshPrivateKey=util.Secret('key'), sshHostKey={host_key!r}, logEnviron=False), LOOK,
    steps.Git(name='known', repourl={url!r}, branch='main', mode='incremental', progress=False,
        sshPrivateKey=util.Secret('key'), sshKnownHosts={known!r}, logEnviron=False),
    steps.Git(name='password', repourl={plain!r}, branch='main', mode='full', method='fresh', progress=False,
        git_credentials=util.GitCredentialOptions(credentials=[util.GitCredentialInputRenderer(
            url='https://git.example.org/x', username='me', password=util.Secret('password'))]), logEnviron=False),
    steps.ShellCommand(name='left', command='find .. -name "ssh-*" -o -name ".*ssh*"', logEnviron=False))
"""
_HG = """
for mode, method in (('full', 'clobber'), ('full', 'fresh'), ('full', 'clean'), ('incremental', None)):
    each('hg-%s-%s' % (mode, method), steps.Mercurial(name='hg', repourl={url!r}, mode=mode, method=method,
        defaultBranch='default', branchType='inrepo', logEnviron=False), LOOK, MESS)
"""
_SVN = """
for mode, method in (('full', 'clobber'), ('full', 'fresh'), ('full', 'clean'), ('full', 'copy'),
                     ('full', 'export'), ('incremental', None)):
    each('svn-%s-%s' % (mode, method), steps.SVN(name='svn', repourl={url!r}, mode=mode, method=method,
        logEnviron=False), LOOK, MESS)
"""
GIT = [*(f"git-full-{method}" for method in ("clobber", "fresh", "clean", "copy")), "git-incremental", "git-shallow",
       "git-submodules", "git-tag", "git-missing", "git-commands"]  # fmt: skip
HG = ["hg-full-clobber", "hg-full-fresh", "hg-full-clean", "hg-incremental-None"]
SVN = [*(f"svn-full-{method}" for method in ("clobber", "fresh", "clean", "copy", "export")), "svn-incremental-None"]


@pytest.fixture(scope="module")
def alone(make_side_by_side: Callable[..., SideBySide]) -> SideBySide:
    """One slot: each has build folders of its own, and the second build is to find what the first left."""
    return make_side_by_side(width=1)


def compare(side: Builders, names: list[str], at_once: bool = True) -> None:
    """Each checkout twice: into nothing, and into what the first build left, with changes."""
    for time in range(2):
        pictures = side.run(names) if at_once else {name: one_by_one(side, name) for name in names}
        for name, runs in pictures.items():
            found = differences(runs["pb"], runs["amqp"], LISTED)
            assert not found, f"{name}, build {time + 1}:\n" + "\n".join(found)
            assert runs["amqp"].result == ("FAILURE" if name == "git-missing" else "SUCCESS"), runs["amqp"]


def one_by_one(side: Builders, name: str) -> dict[str, BuildPicture]:
    """Mercurial clones a local repository in another way while somebody else has its lock."""
    return {run: side.painter.paint(side.master.finished(side.master.force(f"{name}@{run}"))) for run in side.runs}


def test_git_over_ssh_with_a_secret_key(shared: SideBySide, ssh: SshServer, tmp_path: Path) -> None:
    """Keys and passwords reach the machine for the checkout, no log shows them, and no file of them stays."""
    repository = git_repository(tmp_path / "git")
    given = {
        "url": f"ssh://{getpass.getuser()}@127.0.0.1:{ssh.port}{repository}", "plain": f"file://{repository}",
        "key": ssh.key, "host_key": ssh.host_key, "known": f"[127.0.0.1]:{ssh.port} {ssh.host_key}",
    }  # fmt: skip
    side = shared.add(_CONFIG + _SSH.format(**given), RUNS)
    pictures = side.run(["git-ssh"])["git-ssh"]
    found = differences(pictures["pb"], pictures["amqp"], LISTED)
    assert not found, "\n".join(found)
    assert pictures["amqp"].result == "SUCCESS", pictures["amqp"]
    assert not [line for line in pictures["amqp"].steps[-1].logs["stdio"][1] if line.startswith("o")]
    secret = ssh.key.splitlines()[2]
    for step in pictures["amqp"].steps:
        text = "\n".join("\n".join(lines) for _type, lines in step.logs.values())
        assert secret not in text
        assert "open-sesame-2" not in text


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshServer]:
    server = SshServer(tmp_path / "ssh")
    yield server
    server.stop()


@pytest.mark.long
def test_git_in_all_modes(alone: SideBySide, tmp_path: Path) -> None:
    """Every method, submodules, shallow clones, tags, a branch that is not there, and commands in the checkout."""
    url = f"file://{git_repository(tmp_path / 'git')}"
    compare(alone.add(_CONFIG + _GIT.format(url=url), RUNS), GIT)


@pytest.mark.long
def test_mercurial_in_all_modes(alone: SideBySide, tmp_path: Path) -> None:
    compare(alone.add(_CONFIG + _HG.format(url=str(hg_repository(tmp_path / "hg"))), RUNS), HG, False)


@pytest.mark.long
def test_subversion_in_all_modes(alone: SideBySide, tmp_path: Path) -> None:
    compare(alone.add(_CONFIG + _SVN.format(url=svn_repository(tmp_path / "svn")), RUNS), SVN)
