"""SIGKILL at a random moment of a command, the same command again, and a comparison with a run that was not killed.

All files that are left have to be those of the run that was not killed, byte by byte; of trainings the weights,
optimizers, sums and logs, exactly where every operation is deterministic and else within 1e-6. Nothing
unfinished may be left.
tests/training/test_kills.py holds the moments of a training that have a name.
"""

import contextlib
import functools
import json
import os
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from discs import write_discs
from lives import argv, check_same
from robustness import children, inputs, judges

import augmentation
import evaluate
import predict
import submission
import train
from datasets import __main__ as datasets_command
from datasets.arrays import Writer
from training import checkpoints

MOST = 100  # kills of a whole campaign
AGAIN = 0.3  # how often the second life is killed, too


@dataclass(frozen=True)
class Command:
    """A command that is killed.

    write: writes its input into the working folder. call: the command. compare: (folder of the whole run, folder) ->
    what differs, a text or None.
    """

    name: str
    share: int  # of MOST
    write: Callable[[], None]
    call: Callable[[], None]
    compare: Callable[[Path, Path], str | None]


# === Inputs ===


def former():
    """raw/, and arrays of other pictures in out/."""
    inputs.raw_discs()
    write_discs("out", counts={"train": 3, "test": 2})


def trained():
    """discs/ of more images, and a run on them."""
    write_discs("discs")
    train.main(argv("discs", "tiny", "--epochs", "1"))


def with_photos():
    trained()
    inputs.photos(30)


def challenge():
    """As `trained`, and data/ whose images are named as the challenge's."""
    trained()
    with Writer("data", {"dataset": "discs", "task": 1}, (32, 48), ["lesion"]) as writer:
        for number, (image, mask) in enumerate(inputs.discs_of(30, (32, 48))):
            writer.add("test", f"ISIC_{number:07}", image, mask, (96, 144))


# === Commands ===


def prepare():
    datasets_command.main(["folder", "--folders", "raw", "--root", "out", "--size", "64x96"])


def write_records():
    datasets_command.main(["folder", "--folders", "raw", "--root", "records", "--records"])


def train_on(*flags):
    begin_or_go_on("run", argv("discs", "run", "--save_every", "1", *flags))


def begin_or_go_on(run, arguments):
    """Train a run, or go on with it where it has a checkpoint."""
    folder = Path("checkpoint") / run
    resume = ["--resume"] if checkpoints.files(folder) else []
    if not resume or not checkpoints.load(folder)[0]["finished"]:
        train.main([*arguments, *resume])


SPECIAL = ("--accumulate", "1", "--ema", "0", "--learning_rate", "1e-3", "--patience", "0", "--loss", "bce")
SPECIAL += ("--epochs", "2", "--deterministic")
ADSTNET = ("--model", "adstnet", "--options", "{backbone: unet, width: 2, depth: 1}", *SPECIAL)
JAAL_NET = ("--model", "jaal_net", "--options", "{width: 2, discriminator_width: 4}", *SPECIAL)
JAAL_NET += ("--normalize", "minmax_edges")


def evaluate_run():
    evaluate.main(["--run", "tiny", "--split", "val", "--at", "network"])


def predict_photos():
    predict.main(["photos", "--run", "tiny", "--out", "out", "--overlays", "--batch_size", "2"])


def submit():
    submission.main(
        ["--run", "tiny", "--data", "data", "--threshold", "0.5", "--out", "masks.zip", "--batch_size", "2"]
    )


def augment():
    augmentation.main(["--data", "discs", "--out", "more", "--copies", "5"])


def preview():
    augmentation.main(["--preview", "--data", "discs"])


# === Comparisons ===


def same_files(whole, other, leave_out=()):
    return judges.differences(whole, other, leave_out)


def same_training(whole, other, tolerance):
    """As lives.check_same; and of deterministic runs the best network too."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, source in (("whole", whole), ("other", other)):
            for part in ("checkpoint", "output"):
                Path(part).mkdir(exist_ok=True)
                Path(part, name).symlink_to(source / part / "run")
        groups = checkpoints.load(Path("checkpoint/whole"))[1].keys()
        try:
            check_same("whole", "other", tolerance, groups)
        except AssertionError as problem:
            return " ".join(str(problem).split())[:300] or "other counts"
    best = [weights_checksum(folder / "checkpoint_best/run/model.keras") for folder in (whole, other)]
    return "other weights of the best epoch" if not tolerance and best[0] != best[1] else None


def weights_checksum(file):
    """Of the weights in a `.keras` file, which also holds the time at which it was saved."""
    with zipfile.ZipFile(file) as archive:
        return archive.getinfo("model.weights.h5").CRC


COMMANDS = [
    Command("preparation", 16, former, prepare, same_files),
    Command("records", 6, inputs.raw_discs, write_records, same_files),
    Command("training, deterministic", 12, lambda: write_discs("discs"),
            functools.partial(train_on, "--deterministic"), functools.partial(same_training, tolerance=0.0)),
    Command("training", 10, lambda: write_discs("discs"), train_on, functools.partial(same_training, tolerance=1e-6)),
    Command("training of adstnet", 8, lambda: write_discs("discs"), functools.partial(train_on, *ADSTNET),
            functools.partial(same_training, tolerance=0.0)),
    Command("training of jaal_net", 8, lambda: write_discs("discs"), functools.partial(train_on, *JAAL_NET),
            functools.partial(same_training, tolerance=0.0)),
    Command("evaluation", 12, trained, evaluate_run, same_files),
    Command("prediction", 12, with_photos, predict_photos, same_files),
    Command("submission", 8, challenge, submit, same_files),
    Command("augmentation", 5, lambda: write_discs("discs"), augment, same_files),
    Command("augmentation, preview", 3, lambda: write_discs("discs"), preview, same_files),
]  # fmt: skip


# === Kills ===


def campaign(count, seed, lanes, kept, only=""):
    """All commands, `count` kills in all; the lines of the table and the faults, both lists of texts."""
    with tempfile.TemporaryDirectory() as folder:
        commands = {command.name: command for command in COMMANDS if only in command.name}
        tasks = [
            (name, number)
            for name, command in commands.items()
            for number in range(max(1, round(command.share * count / MOST)))
        ]
        children.in_lanes(list(commands), lambda name: _whole(commands[name], Path(folder)), lanes, "inputs")
        random.Random(seed).shuffle(tasks)
        rows = children.in_lanes(
            tasks, lambda task: _killed(commands[task[0]], task[1], seed, folder, kept), lanes, "kills"
        )
    return _table(rows, commands), [
        f"{row['command']}, case {row['case']}: {row['fault']}" for row in rows if row["fault"]
    ]


def _whole(command, folder):
    """The input of a command, and what it makes of it when it is not killed."""
    place = folder / command.name
    start = place / "start"
    start.mkdir(parents=True)
    children.must(functools.partial(_in, start, command.write), place / "log")
    shutil.copytree(start, place / "whole")
    seconds = children.must(functools.partial(_in, place / "whole", command.call), place / "log").seconds
    (place / "seconds").write_text(json.dumps(seconds))
    return []


def _in(folder, work):
    os.chdir(folder)
    work()


def _killed(command, number, seed, folder, kept):
    """Kill a command, once or twice, do it again, compare; its row."""
    place = Path(folder, command.name)
    draw = random.Random(f"{seed} {command.name} {number}")
    seconds = json.loads((place / "seconds").read_text())
    here = Path(tempfile.mkdtemp(dir=folder))
    work = here / "work"
    log = here / "log"
    times = []
    while not times or (len(times) == 1 and draw.random() < AGAIN):
        if not times:
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(place / "start", work)
        moment = draw.uniform(0.02, 1.0) * seconds
        outcome = children.run(functools.partial(_in, work, command.call), log, moment)
        if outcome.status == -9:
            times.append(moment)
        elif outcome.status:
            return [_row(command, number, times, f"status {outcome.status}: {outcome.said[-300:]}")]
        elif times:
            break
    outcome = children.run(functools.partial(_in, work, command.call), log)
    fault = (
        f"status {outcome.status}: {outcome.said[-300:]}" if outcome.status else command.compare(place / "whole", work)
    )
    fault = fault or judges.half_written(work)
    if fault:
        shutil.copytree(work, Path(kept, f"kill_{command.name}_{number}".replace(" ", "_")), dirs_exist_ok=True)
    shutil.rmtree(here)
    return [_row(command, number, times, fault)]


def _row(command, number, times, fault):
    return {"command": command.name, "case": number, "times": times, "fault": fault}


def _table(rows, commands):
    """A line for each command."""
    form = "{:26}{:>7}{:>9}{:>22}"
    lines = [form.format("command", "kills", "faults", "moments, seconds")]
    for name in [*commands, "all"]:
        of = [row for row in rows if name in ("all", row["command"])]
        times = [time for row in of for time in row["times"]]
        spread = f"{min(times):.2f} to {max(times):.2f}" if times else ""
        lines.append(form.format(name, len(times), sum(bool(row["fault"]) for row in of), spread))
    return lines
