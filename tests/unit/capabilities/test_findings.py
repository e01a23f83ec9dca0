"""What was found is kept, and believed as long as the programs are the same; what was late is tried alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.capabilities.conftest import WriteProbes, WriteProgram, names, reasons
from worker_agent.capabilities import DetectOptions, Inventory, detect, detect_late, findings, recheck, remembered
from worker_agent.keeper.second_user import SecondUser

Options = Callable[..., DetectOptions]

_TWO = """
[probe.frob]
command = "frob"
[probe.grob]
command = "grob"
"""


def restarted(inventory: Inventory, options: DetectOptions) -> Inventory | None:
    return findings.load(findings.dump(inventory), options)


async def test_what_was_found_is_known_again(program: WriteProgram, probes: WriteProbes, options: Options) -> None:
    """With its evidence and the failures; nothing is run for it, and people's word is taken as it is now."""
    frob = program("frob", "echo ran >>$(dirname $0)/runs; echo 1.2.3")
    program("grob", "echo no version")
    probes(_TWO)
    first = await detect(options(fixed=("desk=1",)))
    known = restarted(first, options())
    assert known is not None
    again = await remembered(known, options(fixed=("chair=2",), without=("desk",)))
    assert names(again) == ["chair 2", "frob 1.2.3"]
    assert [item for item in again.evidence if item.how == "command"] == [
        item for item in first.evidence if item.how == "command"
    ]
    assert again.failures == first.failures
    assert (frob.parent / "runs").read_text() == "ran\n"
    assert names(await recheck(again)) == names(again), "its stamps are those of the files"


@pytest.mark.parametrize("change", ["gone", "another size", "another time", "another file"])
async def test_a_program_that_is_not_the_same_is_not_believed(
    program: WriteProgram, probes: WriteProbes, options: Options, change: str
) -> None:
    """Neither is what was found by it; the others are."""
    frob = program("frob", "echo 1.2.3")
    program("grob", "echo 4.5")
    probes(_TWO)
    first = await detect(options())
    found = frob.stat()
    if change == "gone":
        frob.unlink()
    elif change == "another size":
        program("frob", "echo 1.2.345")
        os.utime(frob, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif change == "another time":
        os.utime(frob, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    else:
        other = program("frob.other", "echo 1.2.3")
        os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
        other.replace(frob)
    known = restarted(first, options())
    assert known is not None
    assert names(await remembered(known, options())) == ["grob 4.5"]


async def test_other_settings_are_another_machine(
    program: WriteProgram,
    probes: WriteProbes,
    options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another PATH finds other programs, another user or environment finds them elsewhere; a probe that people have
    taken away found nothing."""
    program("frob", "echo 1.2.3")
    program("grob", "echo 4.5")
    probes(_TWO)
    first = await detect(options())
    assert restarted(first, options(path=str(tmp_path))) is None
    assert restarted(first, options(auto=True)) is None
    builder = SecondUser(name="builder", uid=1, gid=1, home=os.path.expanduser("~"), setpriv="/usr/bin/setpriv")
    assert restarted(first, options(user=builder)) is None
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PKG_CONFIG_PATH", str(tmp_path))
        text = findings.dump(first)
    assert findings.load(text, options()) is None
    probes('[probe.frob]\ncommand = "frob"')
    known = restarted(first, options())
    assert known is not None
    assert names(await remembered(known, options())) == ["frob 1.2.3"]
    probes("[capabilities]\nfrob = false", name="zz.toml")
    assert names(await remembered(known, options())) == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 1}', '{"format": 0}', '{"format": 1, "evidence": 3}', "[" * 100_000],
    ids=lambda text: text[:30],
)
def test_a_file_that_cannot_be_used_costs_time_only(tmp_path: Path, options: Options, text: str) -> None:
    """Whatever stands in it, the machine is probed."""
    file = tmp_path / "capabilities.json"
    file.write_text(text)
    assert findings.read(file, options()) is None
    file.unlink()
    assert findings.read(file, options()) is None
    file.mkdir()
    assert findings.read(file, options()) is None
    findings.write(file, Inventory())  # cannot be: said, not raised


async def test_names_that_are_no_text_are_left_out(
    program: WriteProgram, probes: WriteProbes, options: Options
) -> None:
    """They are found anew; all else is kept."""
    program("frob", "echo 1.2.3")
    probes(_TWO)
    first = await detect(options())
    odd = replace(first.evidence[0], path="/opt/caf\udce9/frob")
    known = restarted(replace(first, evidence=(*first.evidence, odd)), options())
    assert known is not None
    assert [item.path for item in known.evidence] == [first.evidence[0].path]


async def test_late_probes_are_run_alone_and_with_more_patience(
    program: WriteProgram, probes: WriteProbes, options: Options
) -> None:
    """The others are not run, and what they found stays."""
    frob = program("frob", "echo ran >>$(dirname $0)/runs; echo 1.2.3")
    program("grob", "sleep 1; echo 4.5")
    probes(_TWO)
    first = await detect(options(timeout=0.4))
    while reasons(first) != {"grob": "did not end within 0.4 s"}:  # on a busy machine the other may be late, too
        first = await detect(options(timeout=0.4))
    runs = (frob.parent / "runs").read_text()
    second = first
    for _ in range(20):
        second = await detect_late(second)
        if not second.late:
            break
    assert names(second) == ["frob 1.2.3", "grob 4.5"]
    assert not second.failures
    assert (frob.parent / "runs").read_text() == runs
    assert second.options == first.options, "its patience is for this once"


async def test_late_libraries_are_asked_for_again(
    program: WriteProgram, probes: WriteProbes, options: Options, tmp_path: Path
) -> None:
    """pkg-config is one program for all of them."""
    folder = tmp_path / "pc"
    folder.mkdir()
    (folder / "frob.pc").write_text("Version: 1.2.3\n")
    program("pkg-config", f"test -e {tmp_path}/slow && exec sleep 600; echo {folder}")
    program("grob", "echo 4.5")
    probes('[library.frob]\nmodules = ["frob"]\n[probe.grob]\ncommand = "grob"')
    (tmp_path / "slow").touch()
    first = await detect(options(timeout=5.0))
    assert names(first) == ["grob 4.5"]
    assert first.late
    (tmp_path / "slow").unlink()
    second = await detect_late(first)
    assert names(second) == ["frob 1.2.3", "grob 4.5"]
    assert not second.failures
