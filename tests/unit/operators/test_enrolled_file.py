"""The file that `enroll` writes for a worker: it holds all, a part of it is no configuration, no mistake is in it."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contracts.trust.signing import generate
from master_bridge.cli import main
from master_bridge.operating.certificates import Made, make
from master_bridge.operating.enclosed import authority, client_certificate, trusted_keys
from master_bridge.operating.enrolment import agent_config
from master_bridge.operating.errors import OperatingError
from worker_agent.link.options import link_options
from worker_agent.program.checking import wrong_here
from worker_agent.program.loading import BadSettings, load

URL = "amqps://b7:hunter2@broker/"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("tls"), ["broker"], ["b7"])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate(tmp_path / "key")
    return tmp_path / "key"


def self_signed(path: Path, *, until: datetime.datetime) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, until - datetime.timedelta(days=9), until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_it_is_all_that_an_agent_needs(made: Made, key: Path, tmp_path: Path) -> None:
    """Read on a machine that has no other file: authority, own certificate, keys, account."""
    config = tmp_path / "b7.toml"
    config.write_text(
        agent_config(
            "b7", URL, ca=authority(made.ca).pem, certificate=client_certificate(made.clients["b7"]).pem,
            keys=[each.pem for each in trusted_keys([], key)],
        )
    )  # fmt: skip
    settings = load({}, config)
    assert wrong_here(settings) is None
    options = link_options(settings)
    context = options.tls_context()
    assert context is not None
    assert len(context.get_ca_certs()) == 1
    assert "PRIVATE" not in repr(settings) + repr(options)
    assert settings.auto_capabilities


def test_no_part_of_it_is_a_configuration(made: Made, key: Path, tmp_path: Path) -> None:
    """Wherever the file was cut off: no agent works without what was to be believed."""
    keys = [each.pem for each in trusted_keys([key.with_name("key.pub")], None)]
    text = agent_config("b7", URL, ca=authority(made.ca).pem, certificate=None, keys=keys)
    config = tmp_path / "b7.toml"
    for length in range(len(text) - 1):  # the last character is the line's end
        config.write_text(text[:length])
        try:
            settings = load({}, config)
        except BadSettings:
            continue
        assert settings.amqp_url is None, text[:length]


def test_a_private_key_goes_into_no_workers_file(made: Made, key: Path, tmp_path: Path) -> None:
    """The authority's, by itself or beside its certificate, and the one that signs; each says what to give instead."""
    both = tmp_path / "both.pem"
    secret = key.read_text()
    both.write_text(made.ca.read_text() + secret)
    broker = made.ca.with_name("broker.pem")
    for function, path, said in (
        (authority, both, "holds a private key"),
        (authority, key, "holds a private key"),
        (authority, broker, "is no authority's certificate"),
        (authority, key.with_name("key.pub"), "holds no certificate"),
        (client_certificate, made.ca, "holds no private key"),
        (lambda path: trusted_keys([path], None), key, f"give {key}.pub"),
        (lambda path: trusted_keys([path], None), tmp_path / "gone", "No such file"),
    ):
        with pytest.raises(OperatingError) as refused:
            function(path)
        assert said in str(refused.value)
        assert secret.splitlines()[1] not in str(refused.value)


def test_an_authority_that_has_expired_is_refused_on_both_sides(made: Made, tmp_path: Path) -> None:
    """Beside a valid one it may stay: so a new one comes in."""
    old = self_signed(tmp_path / "old.pem", until=datetime.datetime(2020, 1, 2))
    with pytest.raises(OperatingError, match="has expired on 2020-01-02"):
        authority(old)
    for text, wrong in ((old.read_text(), "has expired on 2020-01-02"), (old.read_text() + made.ca.read_text(), None)):
        config = tmp_path / "b7.toml"
        config.write_text(agent_config("b7", URL, ca=text, certificate=None, keys=[]))
        found = wrong_here(load({}, config))
        assert (found is None) if wrong is None else (wrong in (found or ""))
    (tmp_path / "two.pem").write_text(old.read_text() + made.ca.read_text())
    assert authority(tmp_path / "two.pem").pem.count("BEGIN") == 2


def enrolled(folder: Path, *arguments: str) -> Result:
    """`enroll` with a rabbitmqctl that knows no account and says yes to all."""
    ctl = folder / "ctl"
    ctl.write_text('#!/bin/sh\nset -e\ncase "$*" in *list_users*) echo "[]" ;; *list_exchanges*) echo "[]" ;; esac\n')
    ctl.chmod(0o755)
    return CliRunner().invoke(
        main, ["enroll", "b7", "--rabbitmqctl", str(ctl), "--output", str(folder / "b7.toml"), *arguments]
    )


def test_a_file_that_cannot_be_written_makes_no_account(made: Made, tmp_path: Path) -> None:
    """Its password would be lost; nor does an account that could not be made leave a file."""
    ran = enrolled(tmp_path, "--amqp-url", "amqps://broker/", "--output", str(tmp_path / "gone" / "b7.toml"))
    assert ran.exit_code == 1
    assert "No such file" in ran.output
    assert not (tmp_path / "b7.toml").exists()
    ran = enrolled(tmp_path, "--amqp-url", "amqp://broker/", "--worker-ca", str(made.ca))
    assert ran.exit_code == 1
    assert "write amqps:// in --broker-url" in ran.output
    ran = enrolled(tmp_path, "--amqp-url", "amqps://broker/", "--rabbitmqctl", "false")
    assert ran.exit_code == 1
    assert not (tmp_path / "b7.toml").exists()


def test_the_operators_own_authority_and_key_are_the_workers(made: Made, key: Path, tmp_path: Path) -> None:
    """Nothing has to be said twice; mode 0600, no secret in what is printed, and the line to run."""
    ran = enrolled(
        tmp_path, "--amqp-url", "amqps://broker/", "--tls-ca", str(made.ca), "--signing-key", str(key)
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    path = tmp_path / "b7.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = load({}, path)
    assert settings.amqp_url is not None
    assert str(settings.tls_ca).count("BEGIN CERTIFICATE") == 1
    assert settings.trusted_key == (key.with_name("key.pub").read_text(),)
    password = settings.amqp_url.get_secret_value().split(":")[2].split("@")[0]
    assert password not in ran.output
    script = "sh buildbot-amqp/deploy/install-worker.sh --source ./buildbot-amqp --config"
    assert f"\n  {script} b7.toml\n" in ran.output
    assert f"\n  ssh root@b7 {script} - <{path}\n" in ran.output
