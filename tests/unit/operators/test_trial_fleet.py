"""`master-bridge trial-fleet`: what it makes, for whom, and that nobody can read more than is theirs."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

from click.testing import CliRunner, Result

from contracts.trust.signing import Signer, Verifier
from master_bridge.cli import main
from worker_agent.program.loading import load


def make(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["trial-fleet", str(folder), *options])


def test_each_reader_gets_its_own_folder_with_what_it_needs(tmp_path: Path) -> None:
    """Secrets are their owner's alone, nobody else's folder holds them, and no two accounts share a password."""
    made = make(tmp_path / "t", "--host", "broker", "--worker", "w1", "--worker", "w2", "--mounted", "/run/x")
    assert made.exit_code == 0, made.output
    found = {path.relative_to(tmp_path / "t").as_posix() for path in (tmp_path / "t").rglob("*") if path.is_file()}
    worker = {"ca.pem", "signing-key.pub", "worker-agent.toml"}
    assert found == {
        *(f"broker/{n}" for n in ("ca.pem", "broker.pem", "broker.key", "security.conf", "definitions.json")),
        "broker/complete",
        *(f"{reader}/{n}" for reader in ("master", "operator") for n in ("ca.pem", "amqp-url", "signing-key")),
        *(f"{reader}/{n}" for reader in ("w1", "w2") for n in worker),
    }  # fmt: skip
    public = ("ca.pem", "broker.pem", "signing-key.pub", "complete")
    for path in (tmp_path / "t").rglob("*"):
        if path.is_file() and path.name not in public:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path

    settings = load({}, tmp_path / "t/w1/worker-agent.toml")
    assert settings.amqp_url is not None
    urls = [
        settings.amqp_url.get_secret_value(),
        *((tmp_path / f"t/{r}/amqp-url").read_text() for r in ("master", "operator")),
    ]
    matches = [re.fullmatch(r"amqps://([a-z0-9]+):([\w-]{32})@broker:5671/%2F\n?", url) for url in urls]
    assert [match and match[1] for match in matches] == ["w1", "m1", "operator"]
    assert len({match and match[2] for match in matches}) == 3
    assert settings.tls_ca == Path("/run/x/ca.pem")
    assert settings.trusted_key == (Path("/run/x/signing-key.pub"),)
    assert "/run/x/definitions.json" in (tmp_path / "t/broker/security.conf").read_text()
    definitions = (tmp_path / "t/broker/definitions.json").read_text()
    assert not any(match and match[2] in definitions for match in matches)
    assert {user["name"] for user in json.loads(definitions)["users"]} == {"m1", "operator", "w1", "w2"}


def test_workers_believe_the_master_and_the_operator(tmp_path: Path) -> None:
    """Both sign with the key whose public half the workers have."""
    assert make(tmp_path / "t").exit_code == 0
    verifier = Verifier.from_pem([tmp_path / "t/worker/signing-key.pub"])
    for reader in ("master", "operator"):
        headers = Signer.from_file(tmp_path / "t" / reader / "signing-key").headers("bb.control", "all", b"{}", {})
        verifier.check("bb.control", "all", b"{}", headers)


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    """As at every `docker compose up`."""
    make(tmp_path / "t")
    before = {path: path.read_bytes() for path in (tmp_path / "t").rglob("*") if path.is_file()}
    again = make(tmp_path / "t")
    assert (again.exit_code, "is there already" in again.output) == (0, True)
    assert {path: path.read_bytes() for path in (tmp_path / "t").rglob("*") if path.is_file()} == before


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "ca.pem").write_text("mine")
    made = make(tmp_path)
    assert made.exit_code == 1
    assert "choose an empty folder" in made.output
    assert (tmp_path / "broker" / "ca.pem").read_text() == "mine"


def test_names_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    for names in (("--worker", "master"), ("--worker", "a", "--worker", "a")):
        made = make(tmp_path / "t", *names)
        assert made.exit_code != 0
        assert "name another" in made.output
    assert not (tmp_path / "t").exists()
