"""Files with probes: those of the package, and those of people."""

from __future__ import annotations

import re

import pytest

from tests.unit.capabilities.conftest import WriteProbes
from worker_agent.capabilities.probe_files import load

#: What programs print, and the version that our probe must take from it.
PRINTED = [
    ("clang", "Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu\nThread model: posix\n", "14.0.6"),
    ("clang", "Apple clang version 15.0.0 (clang-1500.3.9.4)\nTarget: arm64-apple-darwin23\n", "15.0.0"),
    ("gcc", "12.2.0\n", "12.2.0"),
    ("gcc", "13\n", "13"),
    ("git", "git version 2.39.5\n", "2.39.5"),
    ("git", "git version 2.39.2.windows.1\n", "2.39.2.windows.1"),
    ("git", "git version 2.39.3 (Apple Git-146)\n", "2.39.3"),
    ("mercurial", "Mercurial Distributed SCM (version 6.3.2)\n", "6.3.2"),
    ("cvs", "\nConcurrent Versions System (CVS) 1.12.13-MirDebian-28 (client/server)\n", "1.12.13"),
    ("bazaar", "Breezy (brz) 3.3.2\n  Python interpreter: /usr/bin/python3 3.11\n", "3.3.2"),
    ("bazaar", "Bazaar (bzr) 2.7.0\n", "2.7.0"),
    ("subversion", "1.14.2\n", "1.14.2"),
    ("perforce", "Perforce - The Fast Software …\nRev. P4/LINUX26X86_64/2023.1/2468153.\n", "2023.1"),
    ("make", "GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu\n", "4.3"),
    ("cmake", "cmake version 3.25.1\n\nCMake suite maintained and supported by Kitware\n", "3.25.1"),
    ("cmake", "cmake version 3.28.0-rc3\n", "3.28.0-rc3"),
    ("maven", "Apache Maven 3.8.7\nMaven home: /usr/share/maven\nJava version: 17.0.9\n", "3.8.7"),
    ("gradle", "\n------------\nGradle 8.5\n------------\n\nBuild time:   2023-11-29\n", "8.5"),
    ("java", 'openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment\n', "17.0.15"),
    ("java", 'java version "1.8.0_392"\n', "1.8.0_392"),
    ("javac", "javac 17.0.15\n", "17.0.15"),
    ("go", "go version go1.21.5 linux/amd64\n", "1.21.5"),
    ("rust", "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\n", "1.97.0-nightly"),
    ("swift", "swift-driver version: 1.87 Apple Swift version 5.9.2 (swiftlang-5.9.2.2.56)\n", "5.9.2"),
    ("kotlin", "info: kotlinc-jvm 1.9.22 (JRE 17.0.9+9)\n", "1.9.22"),
    ("ldc", "LDC - the LLVM D compiler (1.30.0):\n  based on DMD v2.100.1 and LLVM 14.0.6\n", "1.30.0"),
    ("cuda", "nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release 12.3, V12.3.107\n", "12.3"),
    ("ruby", "ruby 3.1.2p20 (2022-04-12 revision 4491bb740a) [x86_64-linux-gnu]\n", "3.1.2"),
    ("node", "v20.20.2\n", "20.20.2"),
    ("lua", "Lua 5.4.4  Copyright (C) 1994-2022 Lua.org, PUC-Rio\n", "5.4.4"),
    ("php", "PHP 8.2.7 (cli) (built: Jun  9 2023 19:37:27) (NTS)\n", "8.2.7"),
    ("deno", "deno 1.39.1 (release, x86_64-unknown-linux-gnu)\nv8 12.0.267.8\ntypescript 5.3.3\n", "1.39.1"),
    ("docker", "Docker version 24.0.7, build afdd53b\n", "24.0.7"),
    ("kubectl", "Client Version: v1.28.2\nKustomize Version: v5.0.4\n", "1.28.2"),
    ("buildah", "buildah version 1.28.2 (image-spec 1.1.0, runtime-spec 1.0.2)\n", "1.28.2"),
    ("systemd-nspawn", "systemd 252 (252.19-1~deb12u1)\n+PAM +AUDIT\n", "252"),
    ("chromium", "Chromium 120.0.6099.129 built on Debian 12.4, running on Debian 12.4\n", "120.0.6099.129"),
    ("firefox", "Mozilla Firefox 115.6.0esr\n", "115.6.0esr"),
    ("chrome", "Google Chrome 120.0.6099.199\n", "120.0.6099.199"),
    ("ssh", "OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.19 27 Jan 2026\n", "9.2p1"),
    ("openssl", "OpenSSL 1.1.1w  11 Sep 2023\n", "1.1.1w"),
    ("gdb", "GNU gdb (Debian 13.1-3) 13.1\n", "13.1"),
    ("gnupg", "gpg (GnuPG) 2.2.40\nlibgcrypt 1.10.1\n", "2.2.40"),
    ("ffmpeg", "ffmpeg version 5.1.4-0+deb12u1 Copyright (c) 2000-2023 the FFmpeg developers\n", "5.1.4-0+deb12u1"),
    ("postgres", "postgres (PostgreSQL) 16.1 (Debian 16.1-1)\n", "16.1"),
    ("sevenzip", "\n7-Zip [64] 16.02 : Copyright (c) 1999-2016 Igor Pavlov\n", "16.02"),
    ("latex", "pdfTeX 3.141592653-2.6-1.40.24 (TeX Live 2022/Debian)\n", "2022"),
    ("erlang", "25.0\n", "25"),
    # programs whose first number is another's
    ("mysql", "mysql  Ver 15.1 Distrib 10.11.4-MariaDB, for debian-linux-gnu (x86_64)\n", "10.11.4"),
    ("mysql", "mysql  Ver 14.14 Distrib 5.7.42, for Linux (x86_64) using  EditLine wrapper\n", "5.7.42"),
    ("mysql", "mysql  Ver 8.0.34-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))\n", "8.0.34"),
    ("mysql", "mariadb from 11.4.2-MariaDB, client 15.2 for debian-linux-gnu (x86_64)\n", "11.4.2"),
    ("gdb", "GNU gdb (GDB; SUSE Linux Enterprise 15) 13.2\nCopyright (C) 2023\n", "13.2"),
    ("gdb", "GNU gdb (GDB) Red Hat Enterprise Linux 10.2-10.el9\n", "10.2"),
    ("gdb", "GNU gdb (Ubuntu 12.1-0ubuntu1~22.04) 12.1\n", "12.1"),
    ("ld", "GNU ld (GNU Binutils for Debian) 2.40\n", "2.40"),
    ("ld", "GNU ld version 2.35.2-42.el9\n", "2.35.2"),
    ("ld", "GNU ld (GNU Binutils; SUSE Linux Enterprise 15) 2.41.0.20230908-150100.7.46\n", "2.41.0"),
    ("ld", "GNU gold (GNU Binutils for Debian 2.40) 1.16\n", "2.40"),
    ("scala", "Scala code runner version 2.11.12 -- Copyright 2002-2017, LAMP/EPFL\n", "2.11.12"),
    ("scala", "Scala code runner version: 1.4.0\nScala version (default): 3.5.0\n", "3.5.0"),
    ("sbcl", "SBCL 2.2.9.debian\n", "2.2.9"),
    ("tar", "tar (GNU tar) 1.34\n", "1.34"),
    ("tar", "bsdtar 3.5.3 - libarchive 3.5.3 zlib/1.2.12 liblzma/5.4.3 bz2lib/1.0.8\n", "3.5.3"),
]  # fmt: skip


@pytest.mark.parametrize(("probe", "printed", "version"), PRINTED, ids=[entry[0] for entry in PRINTED])
def test_the_version_is_found_in_what_the_program_prints(probe: str, printed: str, version: str) -> None:
    """Real output of real programs, of several systems."""
    probes = load(()).probes
    entry = probes["nvcc" if probe == "cuda" else probe]
    match = re.search(entry.version, printed, re.MULTILINE)
    assert match is not None
    assert match[1] == version


@pytest.mark.parametrize(
    ("probe", "printed"),
    [
        ("ld", "LLD 14.0.6 (compatible with GNU linkers)\n"),
        ("ld", "mold 2.4.0 (compatible with GNU ld)\n"),
        ("openssl", "LibreSSL 3.3.6\n"),
        ("docker", "podman version 4.3.1\n"),
        ("tar", "tar (busybox) 1.35.0\n"),
    ],
)
def test_another_program_of_that_name_is_not_taken_for_it(probe: str, printed: str) -> None:
    """Its versions say nothing about what is asked for."""
    assert re.search(load(()).probes[probe].version, printed, re.MULTILINE) is None


@pytest.mark.parametrize(
    ("probe", "package", "version"),
    [
        ("npm", '{\n  "version": "9.2.0",\n  "name": "npm",\n  "description": "a package manager"', "9.2.0"),
        ("yarn", '{\n  "name": "yarn",\n  "installationMethod": "tar",\n  "version": "1.22.19",', "1.22.19"),
        ("yarn", '{\n  "name": "corepack",\n  "version": "0.17.0",\n', None),
        ("npm", '{\n  "name": "corepack",\n  "version": "0.17.0",\n', None),
    ],
)
def test_the_file_beside_a_program_is_its_own(probe: str, package: str, version: str | None) -> None:
    """corepack puts programs called yarn and npm beside a file with its own version."""
    match = re.search(load(()).probes[probe].file_version, package, re.MULTILINE)
    assert (match[1] if match else None) == version


def test_the_package_brings_many_probes() -> None:
    """At least the sixty of the issue, of every kind that it names."""
    catalogue = load(())
    assert catalogue.errors == ()
    assert len(catalogue.probes) >= 60
    assert {"python", "gcc", "make", "git", "go", "docker", "chromium"} <= catalogue.probes.keys()
    assert {"gtk", "openssl"} <= catalogue.libraries.keys()
    assert {"gi", "wx", "twisted"} <= catalogue.modules.keys()
    for probe in catalogue.probes.values():
        assert probe.timeout is None or probe.timeout < 3  # all of them together stay under three seconds


def test_a_persons_file_wins(probes: WriteProbes) -> None:
    """A probe of the same name replaces ours; `disabled` turns it off; nothing else changes."""
    folder = probes("""
    [probe.gcc]
    command = "my-gcc -v"
    [probe.git]
    command = "git"
    disabled = true
    [library.mine]
    modules = ["mine-1.0"]
    [module.mine]
    import = "mine"
    """)
    ours, theirs = load(()), load([folder])
    assert theirs.probes["gcc"].command == "my-gcc -v"
    assert "git" not in theirs.probes
    assert theirs.libraries["mine"].modules == ("mine-1.0",)
    assert theirs.modules["mine"].import_ == "mine"
    assert len(theirs.probes) == len(ours.probes) - 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[probe.x", "not TOML"),
        ("[probe.x]", "probe.x.command: Field required"),
        ('[probe.x]\ncommand = ""', "probe.x.command: "),
        ('[probe.x]\ncommand = "x"\nversion = "("', "not a regular expression"),
        ('[probe.x]\ncommand = "x"\nversoin = "1"', "probe.x.versoin: Extra inputs are not permitted"),
        ('[probe."1x"]\ncommand = "x"', "a name begins with a letter"),
        ('[probe.x]\ncommand = "x"\ntimeout = 900', "probe.x.timeout"),
        ('[capabilities]\ngtk = "2 24"', "printable characters"),
        ("[module.x]\nimport = 'x; print()'", "module.x.import"),
    ],
)
def test_a_file_with_an_error_is_told_and_left_out(probes: WriteProbes, text: str, reason: str) -> None:
    """The other files count; the reason names the table and the field."""
    probes('[capabilities]\nlab = "7"', "a.toml")
    folder = probes(text, "b.toml")
    catalogue = load([folder], built_in=False)
    assert [str(capability.name) for capability, _ in catalogue.fixed] == ["lab"]
    ((path, told),) = catalogue.errors
    assert path.name == "b.toml"
    assert reason in told


def test_a_later_file_takes_back_what_an_earlier_one_says(probes: WriteProbes) -> None:
    """In the order of their names."""
    probes('[capabilities]\ngtk = "2.24"\nwx = false', "10-first.toml")
    folder = probes('[capabilities]\ngtk = false\nwx = "3.2"', "20-second.toml")
    catalogue = load([folder], built_in=False)
    assert [(capability.name, capability.version) for capability, _ in catalogue.fixed] == [("wx", "3.2")]
    assert catalogue.absent == {"gtk"}
