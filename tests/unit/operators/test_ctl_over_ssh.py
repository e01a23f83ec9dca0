"""`--rabbitmqctl "ssh broker rabbitmqctl"`: ssh hands one line to a shell, which must find the arguments again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from master_bridge.management.accounts import CtlAccounts

ARGUMENTS = ["-q", "eval", "f(<<\"a b\">>, [{'x'}]). % $HOME `id`", r"^agent\.b7\..*$", ""]


@pytest.mark.parametrize("name", ["ssh", "docker"])
def test_arguments_arrive_as_they_are(tmp_path: Path, name: str) -> None:
    """Erlang code and regular expressions, through ssh's shell or a program that takes a list."""
    ctl = tmp_path / "rabbitmqctl"
    ctl.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    way = tmp_path / name
    way.write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n' if name == "ssh" else '#!/bin/sh\nshift\nexec "$@"\n')
    for program in (ctl, way):
        program.chmod(0o755)
    accounts = CtlAccounts([str(way), "broker", str(ctl)])
    assert json.loads(accounts.run(*ARGUMENTS)) == ARGUMENTS
