"""Detection: what probes find, and that nothing a probe does stops it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.capabilities.conftest import WriteProbes, WriteProgram, names, reasons
from worker_agent.capabilities import BadCapability, DetectOptions, detect
from worker_agent.capabilities.run import OUTPUT_MAX

Options = Callable[..., DetectOptions]


async def test_a_probe_finds_a_version_and_keeps_the_evidence(
    program: WriteProgram, probes: WriteProbes, options: Options
) -> None:
    """Which command, at which path, which line said so, and when."""
    path = program("frob", "echo 'Frobnicator, the original'; echo 'frob version 2.24.1 (test)'")
    probes("""[probe.frob]
    command = "frob --version" """)
    before = time.time()
    inventory = await detect(options())
    assert names(inventory) == ["frob 2.24.1"]
    (evidence,) = inventory.evidence
    assert evidence.path == str(path)
    assert evidence.command == f"{path} --version"
    assert evidence.line == "frob version 2.24.1 (test)"
    assert evidence.how == "command"
    assert before <= evidence.when <= time.time()
    assert inventory.failures == ()


async def test_what_is_not_on_path_is_neither_run_nor_a_failure(probes: WriteProbes, options: Options) -> None:
    """Most probes are about tools that a machine does not have."""
    probes("""[probe.no-such-tool]
    command = "no-such-tool --version" """)
    inventory = await detect(options())
    assert inventory.evidence == ()
    assert inventory.failures == ()


async def test_nothing_a_probe_does_stops_detection(
    program: WriteProgram, probes: WriteProbes, options: Options
) -> None:
    """Hanging, crashing, endless, silent, nonsense: each is a failure with its reason; the good one is found."""
    program("hangs", "sleep 600")
    program("crashes", "kill -SEGV $$")
    program("fails", "echo no licence left >&2; exit 3")
    program("endless", "while :; do echo 1; done")
    program("silent", "exit 0")
    program("nonsense", "echo '~~~ ? ~~~'")
    program("binary", "head -c 3000 /dev/urandom | tr -d '0-9'")
    program("reads", "read answer && echo 1.2.3")
    program("good", "echo good 1.2.3")
    program("huge", f"printf '%{OUTPUT_MAX}s' ' '; echo; echo huge 1.2.3")
    program("long", "printf '1.'; printf '%0300d\\n' 7")
    kinds = ["hangs", "crashes", "fails", "endless", "silent", "nonsense", "binary", "reads", "good", "huge", "long"]
    probes("\n".join(f'[probe.{kind}]\ncommand = "{kind}"\n' for kind in kinds))
    inventory = await detect(options(timeout=4.0))
    assert names(inventory) == ["good 1.2.3"]
    told = reasons(inventory)
    assert told["hangs"] == "did not end within 4 s"
    assert told["crashes"] == "was killed"
    assert told["fails"] == "ended with exit code 3: no licence left"
    assert "printed more than 64 KiB" in told["endless"]
    assert told["silent"] == "printed no version: ''"
    assert told["nonsense"] == "printed no version: '~~~ ? ~~~'"
    assert "printed no version" in told["binary"]
    assert told["reads"] == "ended with exit code 1"
    assert "printed more than" in told["huge"]
    assert "1 to 64 printable characters" in told["long"]
    assert inventory.late


async def test_a_program_that_cannot_be_run_is_a_failure(tools: Path, probes: WriteProbes, options: Options) -> None:
    """An interpreter that is not there, or a file for another machine."""
    (tools / "alien").write_bytes(b"#!/no/such/interpreter\n")
    (tools / "alien").chmod(0o755)
    probes("""[probe.alien]
    command = "alien" """)
    inventory = await detect(options())
    assert inventory.evidence == ()
    assert reasons(inventory)["alien"].startswith("cannot be run: ")


async def test_what_a_probe_leaves_behind_is_killed(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """A child that keeps the output open neither delays the answer nor lives on."""
    program("daemon", f"sleep 600 & echo $! > {tmp_path}/child; echo daemon 1.2.3")
    probes("""[probe.daemon]
    command = "daemon" """)
    began = time.monotonic()
    inventory = await detect(options(timeout=120.0))
    assert time.monotonic() - began < 100
    assert names(inventory) == ["daemon 1.2.3"]
    child = int((tmp_path / "child").read_text())
    assert await _ended(child)


async def test_a_probe_that_hangs_dies_with_its_children(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """The whole process group is killed at the timeout."""
    program("hangs", f"sleep 600 & echo $! > {tmp_path}/child; wait")
    probes("""[probe.hangs]
    command = "hangs" """)
    inventory = await detect(options(timeout=5.0))
    assert reasons(inventory) == {"hangs": "did not end within 5 s"}
    assert await _ended(int((tmp_path / "child").read_text()))


async def _ended(pid: int) -> bool:
    """Whether the process is gone, or a zombie that its parent has yet to collect, within ten seconds."""
    import asyncio

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        await asyncio.sleep(0.02)
    return False


async def test_probes_see_no_secret(
    program: WriteProgram, probes: WriteProbes, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker's URL is in the agent's environment; a probe gets a scrubbed one, no input, and / as its folder."""
    monkeypatch.setenv("WORKER_AGENT_AMQP_URL", "amqp://worker:hunter2@broker/")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    program("spy", 'echo "$(env | grep -c hunter2) $PWD $EXTRA $(cat)"; exit 1')
    probes("""[probe.spy]
    command = "spy"
    environment = { EXTRA = "yes" }""")
    inventory = await detect(options())
    (failure,) = inventory.failures
    assert failure.reason == "ended with exit code 1: 0 / yes"


async def test_several_versions_of_one_name(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """Patterns on PATH and other places; a link to a program is not one more."""
    first = program("frob-2", "echo 2.4.1")
    program("frob-3", "echo 3.0.2")
    program("frobber", "echo 9.9.9")
    program("frob", "echo 4.1.0", folder=tmp_path / "opt" / "frob-4" / "bin")
    os.symlink(first, first.with_name("frob"))
    probes(f"""[probe.frob]
    command = "frob"
    programs = ["frob-[0-9]"]
    paths = ["{tmp_path}/opt/*/bin/frob", "$NO_SUCH_VARIABLE/bin/frob"]""")
    assert names(await detect(options())) == ["frob 2.4.1", "frob 3.0.2", "frob 4.1.0"]


async def test_the_first_on_path_counts(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """As a shell would run it; relative folders of PATH mean nothing to a build elsewhere, so they are not searched."""
    program("frob", "echo 1.0.0")
    program("frob", "echo 2.0.0", folder=tmp_path / "later")
    probes("""[probe.frob]
    command = "frob" """)
    path = f"relative:{tmp_path}/bin:{tmp_path}/later:/usr/bin:/bin"
    assert names(await detect(options(path=path))) == ["frob 1.0.0"]


async def test_shims_do_not_hide_the_real_program(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """pyenv's and rbenv's stand-ins answer for whatever version is chosen in a folder."""
    shims = tmp_path / ".rbenv" / "shims"
    program("frob", "echo 9.9.9", folder=shims)
    program("frob", "echo 1.0.0")
    probes("""[probe.frob]
    command = "frob" """)
    assert names(await detect(options(path=f"{shims}:{tmp_path}/bin:/usr/bin:/bin"))) == ["frob 1.0.0"]


async def test_a_file_beside_the_program_spares_a_process(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """Slow starters: the file is read; without it the command is run."""
    home = tmp_path / "jdk"
    path = program("java", "echo 'version \"1.1.1\"'", folder=home / "bin")
    os.symlink(path, tmp_path / "bin" / "java")
    probes("""[probe.java]
    command = "java -version"
    version = 'version "([^"]*)"'
    file = "../release"
    file_version = 'JAVA_VERSION="([^"]*)"' """)
    assert names(await detect(options())) == ["java 1.1.1"]
    (home / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="17.0.9"\n')
    inventory = await detect(options())
    assert names(inventory) == ["java 17.0.9"]
    assert inventory.evidence[0].how == "file"
    assert inventory.evidence[0].line == 'JAVA_VERSION="17.0.9"'


async def test_people_add_and_take_away(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """--capability adds beside what was found, --without removes by name or by requirement, files say the same."""
    program("frob", "echo 1.2.3")
    program("other", "echo 1.2.3")
    probes("""
    [probe.frob]
    command = "frob"
    [probe.other]
    command = "other"
    [capabilities]
    license-server = "2.1"
    fast-disk = true
    sdk = ["9", "10"]
    other = false
    """)
    inventory = await detect(
        options(fixed=("frob=9.0", "lab", "python=2.7.18", "python=3.11.2"), without=("python<3", "sdk9"))
    )
    assert names(inventory) == [
        "fast-disk -",
        "frob 1.2.3",
        "frob 9.0",
        "lab -",
        "license-server 2.1",
        "python 3.11.2",
        "sdk 10",
    ]
    said = {item.capability.name: item for item in inventory.evidence if item.how == "fixed"}
    assert said["lab"].command == "--capability lab"
    assert said["fast-disk"].path is not None
    assert said["fast-disk"].path.endswith("test.toml")


@pytest.mark.parametrize(
    "change",
    [{"fixed": ("=1",)}, {"fixed": ("gtk=",)}, {"fixed": ("g tk=1",)}, {"fixed": ("gtk=1 2",)}, {"without": ("gtk>=",)},
     {"fixed": ("9lives",)}],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused(options: Options, change: dict[str, tuple[str, ...]]) -> None:
    """At once, with the text and what to write."""
    with pytest.raises(BadCapability):
        options(**change)


async def test_a_busy_machine_does_not_lose_its_compiler(
    program: WriteProgram, probes: WriteProbes, options: Options
) -> None:
    """A probe that ran out of time keeps the earlier answer while the file is the same, and only then."""
    program("frob", "test -e $TMPDIR/slow && exec sleep 600; echo 1.2.3")
    probes("""[probe.frob]
    command = "frob" """)
    first = await detect(options())
    assert names(first) == ["frob 1.2.3"]
    folder = Path(first.evidence[0].path or "").parent
    os.environ["TMPDIR"] = str(folder)
    try:
        (folder / "slow").touch()
        second = await detect(options(timeout=0.5), previous=first)
        assert names(second) == ["frob 1.2.3"]
        assert reasons(second) == {"frob": "did not end within 0.5 s"}
        assert second.late
        program("frob", "exec sleep 600 # another program")
        assert names(await detect(options(timeout=0.5), previous=second)) == []
    finally:
        del os.environ["TMPDIR"]


async def test_this_machine() -> None:
    """Every built-in probe, for real: system facts and a Python are found, and no probe fails by our own fault."""
    inventory = await detect(DetectOptions())
    found = {capability.name for capability in inventory.capabilities}
    assert {"os", "arch", "cpus", "mem", "python"} <= found
    assert not [failure for failure in inventory.failures if "could not be probed" in failure.reason]
