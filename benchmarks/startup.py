"""Seconds that each command takes to show its help, which must not wait for TensorFlow: the least of three starts.

python benchmarks/startup.py
"""

import subprocess
import sys
import time

COMMANDS = (
    *("dataset_isic18.py", "augmentation.py", "train.py", "evaluate.py", "predict.py", "visualize.py", "submission.py"),
    *("model.py", "model.py import", "config.py", "-m datasets", "-m datasets check"),
    *("-m imaging.hair_removal", "-m evaluation.model_card"),
)
STARTS = 3


def seconds(command: str) -> float:
    """Seconds of the fastest of STARTS starts of `python COMMAND --help`."""
    taken = []
    for _ in range(STARTS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command.split(), "--help"], stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - start)
    return min(taken)


def main():
    for command in COMMANDS:
        print(f"python {command + ' --help':34}{seconds(command):6.2f} s", flush=True)


if __name__ == "__main__":
    main()
