"""What the kit reports, and what its command line refuses."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from conformance.checks import REQUIREMENTS
from conformance.errors import BadOptions, Violated, expect
from conformance.report import Report, Result, line_of
from conformance.requirement import ProtocolRequirement
from conformance.run import selected
from contracts.messages import Event, Release
from master_bridge.cli import main


def requirement(level: str = "must", id: str = "topic.name") -> ProtocolRequirement:
    return ProtocolRequirement(id=id, level=level, text="It does it", rule="13", check=lambda _: None)  # type: ignore[arg-type]


def failed(level: str) -> Result:
    message = Event(session="s", seq=1, n=1, kind="stdout", data=b"\xff" * 1000)
    return Result(requirement=requirement(level), outcome="fail", what="it did not", message=message)


PASSED = Result(requirement=requirement(), outcome="pass")


def test_every_requirement_has_a_name_a_level_a_sentence_and_a_rule() -> None:
    """And its name is its own: programs compare reports by it."""
    assert len({requirement.id for requirement in REQUIREMENTS}) == len(REQUIREMENTS)
    for each in REQUIREMENTS:
        assert each.level in ("must", "should")
        assert each.text[0].isupper() or each.text[0] in "`", each.text
        assert not each.text.endswith("."), each.text
        assert not each.rule.isdigit() or 1 <= int(each.rule) <= 27, each.id


def test_a_failed_must_does_not_conform_a_failed_should_does() -> None:
    """The verdict, and the numbers in the last line."""
    assert not Report(results=(PASSED, failed("must")), broker="b").conforms
    lenient = Report(results=(PASSED, failed("should")), broker="RabbitMQ 9")
    assert lenient.conforms
    assert lenient.summary() == "must 1/1, should 0/1: conforms (RabbitMQ 9)"


def test_a_failure_shows_what_happened_and_the_message_without_its_bulk() -> None:
    """1000 bytes of output do not stand in a table."""
    text = line_of(failed("must"))
    assert text.startswith("FAIL  must")
    assert "[rule 13]" in text
    assert "it did not" in text
    assert '"(bytes of data)": 1000' in text


def test_the_json_is_for_programs() -> None:
    """One entry a requirement, failures with their message."""
    document = json.loads(Report(results=(PASSED, failed("must")), broker="b").as_json())
    assert (document["conforms"], document["must_failed"]) == (False, 1)
    good, bad = document["requirements"]
    assert good["outcome"] == "pass"
    assert "what" not in good
    assert bad["message"]["kind"] == "stdout"


def test_expect_carries_the_message() -> None:
    """The message that broke it is part of the verdict."""
    message = Release(session="s", incarnation="i")
    with pytest.raises(Violated) as caught:
        expect(False, "wrong", message)
    assert caught.value.message is message
    expect(True, "right")


def test_requirements_are_selected_by_name_or_topic() -> None:
    """`shell` is all of the topic; an unknown name is an error, not an empty run."""
    assert [each.id for each in selected(["shell.rc"])] == ["shell.rc"]
    assert all(each.id.startswith("shell.") for each in selected(["shell"]))
    assert len(selected([])) == len(REQUIREMENTS)
    with pytest.raises(BadOptions, match="shelf"):
        selected(["shelf"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--amqp-url", "amqp://localhost/"], "no agent"),
        (["--", "worker"], "no broker"),
        (["--amqp-url", "http://localhost/", "--", "worker"], "amqp"),
        (["--amqp-url", "amqps://localhost/", "--", "worker"], "--management-url"),
        (["--amqp-url", "amqp://localhost/", "--only", "nothing", "--", "worker"], "nothing"),
    ],
)
def test_wrong_use_is_told_with_status_2(arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and how to give it."""
    monkeypatch.delenv("MASTER_BRIDGE_AMQP_URL", raising=False)
    result = CliRunner().invoke(main, ["conformance", *arguments])
    assert result.exit_code == 2, result.output
    assert says in result.output


def test_the_requirements_can_be_listed_without_a_broker() -> None:
    result = CliRunner().invoke(main, ["conformance", "--list"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) == len(REQUIREMENTS)


def test_a_broker_that_is_not_there_is_told_without_its_password() -> None:
    """Status 1, the address, no secret, no traceback."""
    arguments = ["conformance", "--amqp-url", "amqp://me:s3cret@127.0.0.1:1/v", "--", "worker"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.output
    assert "s3cret" not in result.output
