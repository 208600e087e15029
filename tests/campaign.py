"""Damage, kills and hard circumstances at every command: what it finds is a fault to be mended.

    python tests/campaign.py                           # make campaign: all three, which takes long
    python tests/campaign.py mutations --count 500     # damaged files of every kind; 10,000 by default
    python tests/campaign.py kills --count 20          # SIGKILL, and the same command again; 100 by default
    python tests/campaign.py circumstances             # full disk, read-only folder, no locale, two at once, …

Each ends with a table; the status is 1 where there are faults, and inputs that showed them are kept in build/campaign.
The parts are in tests/robustness/; docs/robustness.md says what passes, and what was found.
"""

import argparse
import os
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # tiny tensors; the lanes take the cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import tensorboard.summary.v2  # noqa: F401, E402 (once, for all children)
from robustness import circumstances, kills, mutations  # noqa: E402
from tqdm import tqdm  # noqa: E402

PARTS = {"mutations": mutations.campaign, "kills": kills.campaign, "circumstances": circumstances.campaign}
COUNTS = {"mutations": mutations.MOST, "kills": kills.MOST, "circumstances": 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=PARTS, help="default: all, one after the other")
    parser.add_argument("--count", type=int, help=f"about so many cases (default: {COUNTS})")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="WORD", help="those alone whose name holds the word")
    parser.add_argument("--lanes", type=int, default=2, help="processes at a time (default: %(default)s)")
    parser.add_argument("--keep", type=Path, default=ROOT / "build/campaign", help="folder for inputs that show faults")
    args = parser.parse_args()
    tqdm.set_lock(threading.RLock())  # the usual one is shared by forks: a killed one would hold it for ever
    faults = []
    for part in [args.part] if args.part else PARTS:
        start = time.monotonic()
        lines, found = PARTS[part](args.count or COUNTS[part], args.seed, args.lanes, args.keep, args.only)
        print("\n".join([f"== {part}", *lines, *(f"FAULT {text}" for text in found)]))
        print(f"{part}: {len(found)} faults, {time.monotonic() - start:.0f} s", flush=True)
        faults += found
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
