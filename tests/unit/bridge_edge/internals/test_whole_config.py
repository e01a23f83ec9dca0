"""What `checkconfig` tells of a configuration of ours: loaded as Buildbot loads it, in this process."""
# passwords that must not be shown

from __future__ import annotations

import errno
import os
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from buildbot.config.errors import ConfigErrors
from buildbot.config.master import FileLoader, MasterConfig
from buildbot.warnings import ConfigWarning

from master_bridge.buildbot.broker_settings import wrong_settings
from master_bridge.buildbot.internals.whole_config import check_whole_configs
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import URL_VARIABLE, LinkSettings, TLSSettings, parse_url

HEAD = """
from buildbot.plugins import *
from buildbot.process.factory import BuildFactory
c = BuildmasterConfig = {}
c['buildbotNetUsageData'] = None
c['protocols'] = {'null': {}}
c['db'] = {'db_url': 'sqlite://'}
c['services'] = [util.AMQPBroker(url='amqp://u:sesame@h')]
c['workers'] = worker.amqp_column('gtk', workers=2, requires=['gtk'])
c['builders'] = [util.BuilderConfig(name='b', workernames=['gtk-1'], factory=BuildFactory())]
c['schedulers'] = [schedulers.ForceScheduler(name='force', builderNames=['b'])]
"""


@pytest.fixture(autouse=True)
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)


def told(folder: Path, config: str, head: str = HEAD) -> list[str]:
    """The errors of this configuration; none for a good one."""
    (folder / "master.cfg").write_text(head + config)
    try:
        FileLoader(str(folder), "master.cfg").loadConfig()
    except ConfigErrors as errors:
        return list(errors.errors)
    return []


def test_a_good_configuration_has_no_errors(tmp_path: Path) -> None:
    assert told(tmp_path, "") == []


@pytest.mark.parametrize(
    ("config", "needs"),
    [
        ("c['services'] = []", "worker 'gtk-1', worker 'gtk-2'"),
        ("del c['services']", "worker 'gtk-1', worker 'gtk-2'"),
        (
            "c['services'] = []; c['workers'] = [worker.LocalWorker('gtk-1')]; f = BuildFactory(["
            "steps.CapabilityCommand(command='true')] * 2); c['builders'][0].factory = f",
            "a CapabilityCommand of builder 'b'",
        ),
    ],
)
def test_what_needs_a_broker_has_one(config: str, needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buildbot's sample sets `c['services']` near its end. The environment's URL is a broker, too, if it is one."""
    (problem,) = told(tmp_path, config)
    assert problem.startswith(f"no AMQPBroker for {needs}: ")
    assert "c['services']" in problem
    assert URL_VARIABLE in problem
    monkeypatch.setenv(URL_VARIABLE, "amqp://h")
    assert told(tmp_path, config) == []
    monkeypatch.setenv(URL_VARIABLE, "amqp://u:ses/ame@h")
    (problem,) = told(tmp_path, config)
    assert problem.startswith("AMQPBroker: url: ")
    assert URL_VARIABLE in problem
    assert "ame" not in problem.replace("name", "")


def test_a_configuration_without_us_needs_no_broker(tmp_path: Path) -> None:
    """The plugin is installed, that is all."""
    assert told(tmp_path, "c['services'] = []; c['workers'] = [worker.LocalWorker('gtk-1')]") == []


@pytest.mark.parametrize(
    "config",
    [
        "c['workers'] += worker.amqp_column('gtk', workers=1)",
        "c['workers'].append(worker.LocalWorker('gtk-1'))",
        "c['workers'].append(worker.AMQPLatentWorker('gtk-1'))",
        "c['workers'].append(c['workers'][0])",
    ],
)
def test_a_worker_s_name_is_there_once(config: str, tmp_path: Path) -> None:
    """Two columns of one name, a column and a worker of another kind, and the same object twice."""
    (problem,) = told(tmp_path, config)
    assert problem.startswith("worker 'gtk-1' is configured 2 times")


@pytest.mark.parametrize(
    "made",
    [
        "worker.AMQPLatentWorker('w', 'sesame')",
        "worker.AMQPLatentWorker('w', 'sesame', requires=['gtk'])",
        "worker.AMQPLatentWorker('w', 'sesame', ['gtk'], 3)",
        "worker.AMQPLatentWorker('w', password='sesame')",
        "worker.amqp_column('w', 'sesame')",
        "worker.amqp_column('w', password='sesame')",
        "util.AMQPBroker('amqp://u:sesame@h')",
        "util.AMQPBroker(url='http://u:sesame@h')",
        "util.AMQPBroker(url=['amqp://u:sesame@h'])",
        "util.AMQPBroker(url=b'amqp://u:sesame@h')",
    ],
)
def test_a_password_in_a_wrong_place_is_told_and_not_shown(made: str, tmp_path: Path) -> None:
    """The habit of Buildbot's own workers, and arguments without their names."""
    problems = told(tmp_path, made)
    assert len(problems) == 1
    assert problems[0].startswith(("AMQPLatentWorker 'w': ", "amqp_column 'w': ", "AMQPBroker: "))
    assert "sesame" not in problems[0]


def each_of(wrong: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(argument, value) for argument, values in wrong.items() for value in values]


#: argument -> values that are wrong, as they stand in master.cfg
WRONG_BROKER = {
    "url": ["5", "'h'", "''", "'amqp://'", "'amqp://h:0'", "'amqp://h:99999'", "'amqp://h:x'", "'amqp://h/a/b'"],
    "master": ["5", "'a.b'", "''", "b'm'", "'x' * 200", "['m']"],
    "tls": ["5", "'ca.pem'", "['ca.pem']", "{'cert': 'x'}", "{'ca': 5}", "{5: 'x'}", "{'key': 'k'}"],
    "queue_type": ["'fast'", "None", "['quorum']", "1"],
    "grace": ["0", "-1", "'5'", "None", "True", "float('nan')", "float('inf')", "4000", "[1]"],
    "heartbeat": ["0", "1.5", "'5'", "None", "True", "601"],
    "events_max_bytes": ["1", "'1'", "None", "True", "1e9", "2**60"],
    "signing_key": ["'nowhere.pem'", "5", "'.'", "b'k'"],
    "metrics_port": ["-1", "65536", "'80'", "True", "1.5", "[80]"],
    "metrics_host": ["5", "None", "b'127.0.0.1'", "'a b'"],
    "name": ["'other'"],
    "colour": ["1"],
}
WRONG_WORKER = {
    "requires": ["5", "[5]", "'gtk>='", "['a b ]']", "{'gtk': 3}", "[['gtk']]", "None", "b'gtk'"],
    "prefers": ["5", "[5]", "'gtk>='", "None"],
    "prefer_seconds": ["0", "-1", "'5'", "None", "True", "float('nan')", "float('inf')"],
    "fencing": ["'maybe'", "True", "['strict']"],
    "notify_after_minutes": ["0", "-1", "'5'", "None", "True", "float('nan')", "float('inf')"],
    "notify_on_missing": ["5", "[5]", "{'a': 1}"],
    "properties": ["5", "'a'", "[1]", "{1: 2}", "['a']"],
    "defaultProperties": ["5", "'a'", "[1]", "{1: 2}"],
    "locks": ["5", "'a'", "['a']", "{'a': 1}"],
    "max_builds": ["2"],
    "build_wait_timeout": ["0"],
    "machine_name": ["'m'"],
    "colour": ["1"],
}


@pytest.mark.parametrize(("argument", "value"), each_of(WRONG_BROKER))
def test_each_wrong_setting_of_the_broker_is_named(argument: str, value: str, tmp_path: Path) -> None:
    """Wrong types, times, ports, names, files: one sentence that begins with the argument."""
    url = "" if argument == "url" else "url='amqps://h', "
    problems = told(tmp_path, f"util.AMQPBroker({url}{argument}={value})")
    assert problems, "it passes"
    assert all(problem.startswith(f"AMQPBroker: {argument}") for problem in problems), problems


@pytest.mark.parametrize("url", ["amp://127.0.0.1", "zmq://127.0.0.1", "ssh:"])
@pytest.mark.parametrize("setting", ["queue_type='quorum'", "heartbeat=20"])
def test_what_is_for_rabbitmq_only_is_told(url: str, setting: str, tmp_path: Path) -> None:
    argument = setting.partition("=")[0]
    problems = told(tmp_path, f"util.Broker(url={url!r}, {setting})")
    assert [problem.split(": ")[1] for problem in problems] == [argument]
    assert "leave it out" in problems[0]
    assert told(tmp_path, f"util.Broker(url='amqp://u@h', {setting})") == []
    assert told(tmp_path, f"util.Broker(url={url!r}, moving_from='amqp://u@h', {setting})") == [], "it is for that"


WITH_A_COMMAND = "c['builders'][0].factory = BuildFactory([steps.CapabilityCommand(command='true')] * 2)"


@pytest.mark.parametrize(
    ("config", "said"),
    [("", []), ("c['multiMaster'] = True", ["multiMaster: "]), (WITH_A_COMMAND, ["builder 'b': a CapabilityCommand "])],
)
def test_what_a_master_without_a_broker_does_less_well_is_warned_of(
    config: str, said: list[str], tmp_path: Path
) -> None:
    for url, warned in (("amp://127.0.0.1", said), ("amqp://u@h", [])):
        head = HEAD.replace("amqp://u:sesame@h", url)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert told(tmp_path, config, head) == []
        found = [str(each.message) for each in caught if each.category is ConfigWarning]
        assert len(found) == len(warned)
        assert all(text.startswith(begin) for text, begin in zip(found, warned, strict=True)), found


@pytest.mark.parametrize(("argument", "value"), each_of(WRONG_WORKER))
@pytest.mark.parametrize("made", ["worker.AMQPLatentWorker('w', {})", "worker.amqp_column('w', {})"])
def test_each_wrong_setting_of_a_worker_is_named(argument: str, value: str, made: str, tmp_path: Path) -> None:
    """Also those that Buildbot would take, and fail with when it starts the worker."""
    problems = told(tmp_path, made.format(f"{argument}={value}"))
    assert problems, "it passes"
    assert all(f" 'w': {argument}" in problem for problem in problems), problems


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "'3'", "None", "True", "[1]"])
def test_a_column_has_a_number_of_workers(value: str, tmp_path: Path) -> None:
    (problem,) = told(tmp_path, f"worker.amqp_column('w', workers={value})")
    assert problem.startswith("amqp_column 'w': workers: a whole number from 1 on")


@pytest.mark.parametrize("name", ["5", "None", "''", "b'w'", "['w']"])
def test_workers_and_columns_have_names(name: str, tmp_path: Path) -> None:
    (problem,) = told(tmp_path, f"worker.amqp_column({name}, workers=1)")
    assert "name: a text" in problem
    (problem,) = told(tmp_path, f"worker.AMQPLatentWorker({name})")
    assert "name: a text" in problem


SECRET = "sesame"


ODD = [*'/@?#[]:% \t\x7f<>"\\^`{|}ö€', "%4", "%zz", "/@", "#@:"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("url", ["amqp://u:{}@h", "amqps://u:{}@h:5671/v", "amqp://{}@h/v", "amqp://u:p@h/{}"])
def test_what_wants_escaping_is_told_and_nothing_of_it_is_shown(odd: str, url: str) -> None:
    """In names, passwords and virtual hosts; with its escape it is right, and means itself."""
    from urllib.parse import quote

    text = f"{SECRET}{odd}{SECRET}"
    right = parse_url(url.format(quote(text, safe="")))
    assert text in (right.user, right.password, right.vhost)
    harmless = url.startswith("amqp://{}") and odd == ":"  # a name and a password
    harmless |= url.endswith("{}") and odd in ':[]<>"\\^`{|}'  # nothing else can be meant
    if not harmless:
        with pytest.raises(BadSettings) as error:
            parse_url(url.format(text))
        assert str(error.value).startswith("url: ")
        assert SECRET not in str(error.value)


def certificate(folder: Path) -> tuple[Path, Path]:
    """One that signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain, pem, pkcs8 = serialization.NoEncryption(), serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, plain))
    locked = serialization.BestAvailableEncryption(b"passphrase")
    (folder / "locked.pem").write_bytes(key.private_bytes(pem, pkcs8, locked))
    other = ec.generate_private_key(ec.SECP256R1())
    (folder / "other.pem").write_bytes(other.private_bytes(pem, pkcs8, plain))
    return folder / "cert.pem", folder / "key.pem"


def test_files_of_tls_are_read(tmp_path: Path) -> None:
    """Not there, a folder, no PEM, a key of another certificate, one with a passphrase; and good ones."""
    cert, key = certificate(tmp_path)
    (tmp_path / "text").write_text("no PEM\n")
    (tmp_path / "broken").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")

    def problems(**tls: object) -> list[str]:
        files = {name: str(path) for name, path in tls.items()}
        return told(tmp_path, f"util.AMQPBroker(url='amqps://h', tls={files!r})")

    assert problems(ca=cert, certificate=cert, key=key) == []
    nowhere = tmp_path / "nowhere.pem"
    for name in ("ca", "certificate", "key"):
        more = {"certificate": cert} if name == "key" else {}
        (problem,) = problems(**{**more, name: nowhere})
        assert problem == f"AMQPBroker: tls.{name}: {nowhere}: No such file or directory"
        (problem,) = problems(**{**more, name: tmp_path})
        assert problem == f"AMQPBroker: tls.{name}: {tmp_path}: Is a directory"
    for wrong in (
        {"ca": tmp_path / "text"},
        {"ca": tmp_path / "broken"},
        {"certificate": cert},
        {"certificate": tmp_path / "text", "key": key},
        {"certificate": cert, "key": tmp_path / "text"},
        {"certificate": cert, "key": tmp_path / "other.pem"},
        {"certificate": cert, "key": tmp_path / "locked.pem"},
    ):
        (problem,) = problems(**wrong)
        assert problem.startswith("AMQPBroker: tls"), problem
        assert str(tmp_path) in problem, problem


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read every file, so the system's answer is given here."""
    cert, _key = certificate(tmp_path)

    def refuse(path: Path, *_arguments: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        (problem,) = wrong_settings(url="amqps://h", tls={"ca": str(cert)})
    assert problem == f"tls.ca: {cert}: Permission denied"


@pytest.mark.parametrize("tls", ["{}", "{'ca': 'nowhere.pem'}"])
def test_tls_and_plain_text_do_not_go_together(tls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the configuration, with the environment's URL, and with one that is a secret, which is known later only."""
    assert any("plain text" in problem for problem in told(tmp_path, f"util.AMQPBroker(url='amqp://h', tls={tls})"))
    monkeypatch.setenv(URL_VARIABLE, "amqp://h")
    assert any("plain text" in problem for problem in told(tmp_path, f"util.AMQPBroker(tls={tls})"))
    assert not any("plain" in it for it in told(tmp_path, f"util.AMQPBroker(url=util.Secret('url'), tls={tls})"))
    with pytest.raises(BadSettings, match="plain text"):
        LinkSettings(url="amqp://h", master="m", tls=TLSSettings())


def test_buildbots_check_is_wrapped_once() -> None:
    """By whoever asks, in whatever order the plugin's parts are imported."""
    wrapped = MasterConfig.check_builders
    check_whole_configs()
    assert MasterConfig.check_builders is wrapped
    assert wrapped.of_amqp


def test_a_worker_lock_that_limits_nothing_is_a_warning(tmp_path: Path) -> None:
    """The configuration is good all the same: `checkconfig` prints the sentence and says so."""
    config = """
lock = util.WorkerLock("database")
factory = BuildFactory([steps.ShellCommand(name="migrate", command=["true"], locks=[lock.access("counting")])])
c['builders'] = [util.BuilderConfig(name='b', workernames=['gtk-1'], factory=factory, locks=[lock.access("counting")])]
"""
    with pytest.warns(ConfigWarning, match="builder 'b', step 'migrate': WorkerLock 'database' limits nothing"):
        assert told(tmp_path, config) == []
