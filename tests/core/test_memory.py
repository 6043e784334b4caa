from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, mmap, resource
from nlprep.core.memory import kept_memory

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.memset.argtypes = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
library.free.argtypes = (ctypes.c_void_p,)

def use():
    piece = library.malloc(40 << 20)
    library.memset(piece, 1, 40 << 20)
    library.free(piece)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        use()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * mmap.PAGESIZE / (40 << 20)

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE / 2**20

use()
start = resident()
outside = faults()
with kept_memory():
    use()
    inside = faults()
    held = resident()
print(outside, inside, held - start, resident() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep memory")
@pytest.mark.slow
def test_memory_is_kept_inside_and_given_back_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    outside, inside, held, after = map(float, done.stdout.split())
    # Ten times 40 MB: each anew, or hardly any.
    assert outside > 5
    assert inside < 0.5
    assert held > 30
    assert after < 10
