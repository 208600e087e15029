"""Memory of this process, on every operating system."""

import re
import sys
from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")  # Linux


def peak_memory() -> int:
    """The largest amount of memory that this process has had in RAM at one time, in bytes.

    Linux calls it the high water mark, Windows the peak working set, macOS the maximum resident set size. (Linux's
    maximum resident set size counts the process from which this one was started, too.)
    """
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":
        return 1024 * int(re.findall(r"VmHWM:\s*(\d+) kB", STATUS.read_text())[0])
    import resource  # Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes
