"""What is asked of an agent for each command, and what is made of its answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Union

import pytest

from contracts.messages import Event
from master_bridge.operating.errors import OperatingError
from master_bridge.running import folder_steps, steps
from master_bridge.running.answers import AgentResult
from master_bridge.running.local_files import LocalFile
from master_bridge.running.orders import Order, OrderOutcome, Secret, StepFailed, text_of, words_of

FILE, FOLDER = 0o100644, 0o040755


class Disk:
    """An agent that has these paths, and does nothing with them."""

    def __init__(self, **modes: int) -> None:
        self.modes = {f"/b/{name}": mode for name, mode in modes.items()}
        self.orders: list[Order] = []

    def does(self, steps_: Any) -> Any:
        """The fields of the result."""
        outcome: OrderOutcome | None = None
        try:
            while True:
                order = next(steps_) if outcome is None else steps_.send(outcome)
                self.orders.append(order)
                outcome = self._answer(order)
        except StopIteration as end:
            return end.value

    def _answer(self, order: Order) -> OrderOutcome:
        if order.name != "stat":
            return OrderOutcome(rc=0, files=("b", "a"), over=True)
        mode = self.modes.get(order.args["file"])
        if mode is None:
            return OrderOutcome(rc=2, said=f"stat: No such file or directory: {order.args['file']}")
        return OrderOutcome(rc=0, mode=mode)

    @property
    def done(self) -> list[tuple[str, Any]]:
        """Beside looking."""
        return [(order.name, dict(order.args)) for order in self.orders if order.name != "stat"]


@pytest.mark.parametrize(
    ("there", "target", "force", "becomes"),
    [
        ({}, "new", False, "/b/new"),
        ({}, "/abs/new", False, "/abs/new"),
        ({"folder": FOLDER}, "folder", False, "/b/folder/source"),
        ({"file": FILE}, "file", True, "/b/file"),
        ({"file": FILE}, "file", False, "file is there already"),
        ({"folder": FOLDER, "folder/source": FILE}, "folder", False, "folder/source is there already"),
        ({"folder": FOLDER, "folder/source": FOLDER}, "folder", True, "source is a folder: it is not replaced"),
        ({}, "new/", False, "new/: there is no such folder"),
        ({}, "", False, "an empty text is no path"),
    ],
)
@pytest.mark.parametrize("make", [steps.rename, steps.copy])
def test_where_something_goes(
    make: Callable[..., Any], there: dict[str, int], target: str, force: bool, becomes: str
) -> None:
    disk = Disk(source=FILE, **there)
    begun = make("source", target, basedir="/b", force=force)
    if becomes.startswith("/"):
        assert disk.does(begun) == {"exit_status": 0}
        ((_, args),) = disk.done
        assert becomes in (args.get("todir"), *args.get("command", ()))
    else:
        with pytest.raises(StepFailed, match=becomes):
            disk.does(begun)
        assert disk.done == []


def test_what_is_not_there_is_said_before_anything_is_done() -> None:
    for begun in (
        steps.rename("none", "x", basedir="/b", force=False),
        steps.copy("none", "x", basedir="/b", force=False),
        folder_steps.get("none", Path("/nowhere"), basedir="/b", force=False, packs=True),
        steps.names("none", basedir="/b"),
        steps.run(["x"], basedir="/b", env={}, workdir="none", timeout=None, stdin=None),
    ):
        disk = Disk()
        with pytest.raises(StepFailed, match="/b/none: there is no such"):
            disk.does(begun)
        assert disk.done == []


def test_folders_are_removed_where_that_is_wanted_and_never_all() -> None:
    disk = Disk(file=FILE, folder=FOLDER)
    disk.modes["/b"] = disk.modes["/"] = disk.modes["/b/."] = FOLDER
    disk.does(steps.remove(["file", "folder", "link"], basedir="/b", recursive=True))
    assert [name for name, _ in disk.done] == ["rmfile", "rmdir", "rmfile"]
    with pytest.raises(StepFailed, match="give recursive"):
        disk.does(steps.remove(["folder"], basedir="/b", recursive=False))
    for path in (".", "/", "/b"):
        with pytest.raises(StepFailed, match="not removed as a whole"):
            disk.does(steps.remove([path], basedir="/b", recursive=True))


def test_what_ls_lists() -> None:
    disk = Disk(file=FILE, folder=FOLDER)
    assert disk.does(steps.names("file", basedir="/b"))["names"] == ("/b/file",)
    assert disk.does(steps.names("folder", basedir="/b"))["names"] == ("a", "b")
    disk.does(steps.names("*.log", basedir="/b"))
    assert [name for name, _ in disk.done] == ["listdir", "glob"]


def test_a_file_that_does_not_come_whole_is_not_there(tmp_path: Path) -> None:
    """Nor is what was there before replaced."""
    target = tmp_path / "sub" / "file"
    for ends in ("rc", "left"):
        begun = folder_steps.get("f", target, basedir="/b", force=False, packs=True)
        next(begun)
        order = begun.send(OrderOutcome(rc=0, mode=FILE))
        assert order.write is not None
        order.write(b"half")
        if ends == "rc":
            assert begun.send(OrderOutcome(rc=1, said="Cannot open file")).name == "stat"
            with pytest.raises(StepFailed, match=r"/b/f is not copied; see whether .*: Cannot open file"):
                begun.send(OrderOutcome(rc=0, mode=FILE))
        else:
            begun.close()
        assert list(tmp_path.rglob("*")) == [target.parent]
    target.write_text("mine")
    begun = folder_steps.get("f", target, basedir="/b", force=False, packs=True)
    next(begun)
    with pytest.raises(StepFailed, match="is there already"):
        begun.send(OrderOutcome(rc=0, mode=FILE))
    assert target.read_text() == "mine"


def event(kind: str, value: Any = None, data: bytes = b"", **more: Any) -> Event:
    return Event.model_validate({"session": "s", "seq": 1, "n": 1, "kind": kind, "value": value, **more}).model_copy(
        update={"data": data}
    )


@pytest.mark.parametrize(
    ("events", "status", "good", "reason"),
    [
        ([event("update", ["rc", 0])], 0, True, "exit status 0"),
        ([event("update", ["rc", 3]), event("stderr", data=b"a\nlast\n")], 3, False, "last"),
        (
            [event("header", data=b"process killed by signal 15\n"), event("update", ["rc", -1])],
            143,
            False,
            "signal 15",
        ),
        (
            [event("header", data=b"process killed by signal SIGKILL\n"), event("update", ["rc", -1])],
            137,
            False,
            "signal SIGKILL",
        ),
        ([event("header", data=b"process killed by signal SIGNONE\n"), event("update", ["rc", -1])], 255, False, ""),
        ([event("update", ["rc", -1])], 255, False, "exit status 255"),
        ([event("update", ["rc", 0]), event("completed", "no such command")], 255, False, "no such command"),
        ([event("update", ["rc", 0]), event("completed", infrastructure="disk full")], 255, False, "disk full"),
        (
            [event("update", "nonsense"), event("update", ["rc", "x"]), event("update", ["stat", [1]])],
            255,
            False,
            "255",
        ),
    ],
)
def test_how_a_command_ended(events: list[Event], status: int, good: bool, reason: str) -> None:
    outcome = OrderOutcome()
    for each in events:
        outcome.take(each, Order(name="stat", args={}))
    assert (outcome.exit_status, outcome.is_good) == (status, good)
    assert reason in outcome.reason()


@pytest.mark.parametrize("mode", ["x", None, -1, 10**400, 1e400, [FILE], 0.5])
def test_an_agent_may_say_anything_of_a_file(mode: Any) -> None:
    """It costs the others nothing: that agent's answer is none."""
    begun = folder_steps.get("log", Path("/nowhere/log"), basedir="/b", force=False, packs=True)
    outcome = OrderOutcome()
    outcome.take(event("update", ["stat", [mode] * 10]), next(begun))
    outcome.take(event("update", ["rc", 0]), Order(name="stat", args={}))
    with pytest.raises(StepFailed, match="exit status 0"):
        begun.send(outcome)


@pytest.mark.parametrize("number", ["9" * 5000, "999"])
def test_a_signal_has_two_digits_at_most(number: str) -> None:
    outcome = OrderOutcome()
    outcome.take(event("header", data=f"process killed by signal {number}\n".encode()), Order(name="shell", args={}))
    outcome.take(event("update", ["rc", -1]), Order(name="shell", args={}))
    assert outcome.exit_status == 255


def test_an_agent_cannot_fill_the_memory_with_what_it_says_beside_output() -> None:
    outcome = OrderOutcome()
    for _ in range(100):
        outcome.take(event("header", data=b"x" * 1000), Order(name="shell", args={}))
    assert len(outcome.said) <= 4000


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"file": "caf\udce9"}, "no text in UTF-8"),
        ({"command": ["a", "b\0c"]}, "without zeros"),
        ({"env": {"A": "x" * 5_000_000}}, "bytes long, more than"),
    ],
)
def test_what_no_message_can_carry_is_said(args: dict[str, Any], problem: str) -> None:
    with pytest.raises(StepFailed, match=problem):
        Order(name="shell", args=args).prepared()


def test_secrets_are_run_and_not_shown() -> None:
    command: list[str | Secret] = ["curl", Secret("hunter2", "***"), "x"]
    assert words_of(command) == ["curl", ["obfuscated", "hunter2", "***"], "x"]
    assert text_of(command) == "curl *** x"
    assert "hunter2" not in repr(command)
    for wrong in ("", "  ", [], [""], [1]):
        with pytest.raises(OperatingError):
            words_of(wrong)  # type: ignore[arg-type]  # that is what is tried


def test_a_result_says_what_went_wrong() -> None:
    made = AgentResult(agent="a1", account="a", instance="i", exit_status=3, stderr=b"first\nthe reason\n")
    with pytest.raises(OperatingError, match="a1: exit status 3: the reason"):
        made.check()


def test_files_that_cannot_be_put_are_said_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    os.chmod(tmp_path / "file", 0o750)
    file = LocalFile(tmp_path / "file")
    assert (file.size, file.mode, file.read(8, 10), file.read(99, 1)) == (10, 0o750, b"89", b"")
    file.close()
    os.mkfifo(tmp_path / "pipe")
    for path, problem in {
        tmp_path: "Is a directory",
        tmp_path / "none": "No such file",
        tmp_path / "pipe": "it has no end",
        Path("/dev/zero"): "it has no end",
        Path("/proc/self/mem"): "Input/output error",
    }.items():
        with pytest.raises(OperatingError, match=f"^{path}: .*{problem}"):
            LocalFile(path)


def test_the_systems_own_files_say_that_they_are_empty_and_are_not() -> None:
    file = LocalFile(Path("/proc/self/status"))
    assert file.size > 0
    file.close()


def test_a_file_here_that_changes_while_agents_are_served(tmp_path: Path) -> None:
    """Longer: as it was. Gone: as it was, since it is open. Shorter, or written over: never half of it."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = LocalFile(path)
    assert not file.is_changed
    with path.open("ab") as grows:
        grows.write(b"more")
    assert (file.read(0, 100), file.size) == (b"0123456789", 10)
    path.unlink()
    assert file.read(5, 100) == b"56789"
    file.close()

    path.write_bytes(b"0123456789")
    file = LocalFile(path)
    os.truncate(path, 6)
    with pytest.raises(OSError, match="it was changed while it was copied; put it again") as raised:
        file.read(4, 6)
    assert raised.value.filename == str(path)
    path.write_bytes(b"9876543210")
    os.utime(path, (1, 1))
    begun = steps.put(file, "x", basedir="/b", mode=0o644, force=False)
    next(begun)
    assert begun.send(OrderOutcome(rc=2)).name == "downloadFile"
    with pytest.raises(StepFailed, match=f"^{path}: it was changed while it was copied; put it again"):
        begun.send(OrderOutcome(rc=1, said="File 'x' was damaged on its way"))
    file.close()


#: Of an agent's file: bytes, and when it was written. None: it is not there.
State = Union[tuple[int, int], None]


@pytest.mark.parametrize(
    ("before", "came", "after", "outcome", "becomes"),
    [
        ((4, 1), 4, (4, 1), OrderOutcome(rc=0), ()),
        ((4, 1), 4, (4, 1), OrderOutcome(rc=1, said="Maximum filesize reached"), ()),
        ((4, 1), 4, (9, 2), OrderOutcome(rc=1, said="Maximum filesize reached"),
         ("what was added to /b/f meanwhile: its first 4 bytes are copied",)),
        ((4, 1), 4, None, OrderOutcome(rc=0), ()),
        ((4, 1), 4, (4, 2), OrderOutcome(rc=0), "/b/f was written over while it was copied, and is not kept: get it"),
        ((4, 1), 4, (3, 2), OrderOutcome(rc=0), "/b/f became shorter while it was copied, and is not kept: get it"),
        ((4, 1), 2, (2, 2), OrderOutcome(rc=0), "/b/f became shorter while it was copied, and is not kept: get it"),
        ((4, 1), 2, (9, 2), OrderOutcome(rc=0), "/b/f became shorter while it was copied, and is not kept: get it"),
        ((4, 1), 2, (4, 1), OrderOutcome(rc=0), ()),  # of the system's own, which say one page
        ((0, 1), 4, (0, 1), OrderOutcome(rc=0), ()),  # … or nothing
        ((4, 1), 0, None, OrderOutcome(rc=1, said="Cannot open"), "/b/f was removed meanwhile, and is not copied"),
        ((4, 1), 0, (4, 1), OrderOutcome(rc=1, said="No '/b/f'"), "/b/f is not copied; see whether .*: No '/b/f'"),
        ((4, 1), 4, (4, 1), OrderOutcome(rc=1, failure="a disk"), "/b/f is not copied; see whether .*: a disk"),
        ((4, 1), 2, (1, 2), OrderOutcome(rc=1, said="read error"), "/b/f became shorter while it was copied"),
    ],
)  # fmt: skip
def test_a_file_of_an_agents_that_changes_while_it_is_copied(
    tmp_path: Path, before: State, came: int, after: State, outcome: OrderOutcome, becomes: tuple[str, ...] | str
) -> None:
    """It is there as it was at one moment, or not at all, and the reason names it and the remedy."""

    def seen(state: State) -> OrderOutcome:
        if state is None:
            return OrderOutcome(rc=2)
        found = OrderOutcome()
        size, modified = state
        stat = [FILE, 2, 3, 1, 0, 0, size, 0, modified, 0]
        found.take(event("update", ["stat", stat]), Order(name="stat", args={}))
        return found

    begun = folder_steps.get("f", tmp_path / "f", basedir="/b", force=False, packs=True)
    next(begun)
    order = begun.send(seen(before))
    assert order.args["maxsize"] == ((before or (0,))[0] or None)
    assert order.write is not None
    order.write(b"x" * came)
    assert begun.send(outcome).name == "stat"
    if isinstance(becomes, str):
        with pytest.raises(StepFailed, match=f"^{becomes}"):
            begun.send(seen(after))
        assert list(tmp_path.iterdir()) == []
        return
    with pytest.raises(StopIteration) as end:
        begun.send(seen(after))
    assert end.value.value["left_out"] == becomes
    assert (tmp_path / "f").read_bytes() == b"x" * came


def test_all_that_a_program_could_not_read_is_named() -> None:
    """Not only the last of it, nor what `tar` says whatever has failed; nor the header of the command."""
    order, outcome = Order(name="shell", args={}), OrderOutcome()
    outcome.take(event("header", data=b"tar -c .\n in dir /b\n"), order)
    outcome.take(event("stderr", data=b"tar: ./a: Cannot open: Permission denied\ntar: ./b: Cannot open: "), order)
    outcome.take(
        event("stderr", data=b"No such file\ntar: Exiting with failure status due to previous errors\n"), order
    )
    assert outcome.reason() == "tar: ./b: Cannot open: No such file"
    assert outcome.reasons() == "tar: ./a: Cannot open: Permission denied; tar: ./b: Cannot open: No such file"
    outcome.take(event("stderr", data=b"x\n" * 30), order)
    assert outcome.reasons().endswith("; x; and 12 more")
