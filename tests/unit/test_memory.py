"""What glibc does with freed memory, told by the page faults of a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have habits of their own")

#: Three copies of a piece, as on its way through a process, for 50 pieces: 150 MiB. Prints MiB in fresh pages.
PIECES = """
import resource
from contracts.operations import memory
memory.keep()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    for _ in range(50):
        copies = [b"x" * 1024 * 1024 for _ in range(3)]
        del copies
work()
before = faults()
work()
print((faults() - before) * resource.getpagesize() // 2**20)
"""
#: 8 MiB of pieces. Prints MiB that were kept, and given back.
REST = """
import resource
from contracts.operations import memory
memory.keep()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
before = resident()
copies = [b"x" * 1024 * 1024 for _ in range(8)]
del copies
kept = resident()
memory.give_back()
print(round(kept - before), round(kept - resident()))
"""


def run(program: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return [int(number) for number in done.stdout.split()]


def test_pieces_that_follow_one_another_use_the_same_pages() -> None:
    assert run(PIECES) < [4]


def test_what_is_kept_can_be_given_back() -> None:
    kept, given_back = run(REST)
    assert kept >= 6
    assert given_back >= 6
