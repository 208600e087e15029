"""Scoring a run, or several, on one split of prepared arrays: what evaluate.py does, and train.py with folds.

An ensemble of folds is scored on their images out of fold: each image by the member that was not trained on it.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import model
import runs
from datasets import folds
from datasets.arrays import open_split, read_meta
from datasets.preparation.annotators import from_bits
from datasets.preparation.source_masks import source_annotators, source_masks
from datasets.split import FOLDS, Split, digest, subset
from evaluation import annotators, evaluations, model_card, score_split, trust, write_results
from imaging import mask_files as mask_images
from inference import trust as kept_trust
from inference.predictor import check_fit, load_network
from utils.errors import UserError
from utils.files import locked

# === What is scored ===


def load(folder, part):
    """The network of a run: "backbone" is what it deploys, "head" the binary map of the head it was trained with."""
    if part == "backbone":
        return load_network(runs.network_file(folder))
    network = model.load(folder / "training.keras") if (folder / "training.keras").is_file() else None
    earlier = network is not None and network.name != runs.settings(folder).model  # left by another training
    if network is None or earlier or not isinstance(network.output, dict):
        raise UserError(f"run '{runs.name_of(folder)}' was not trained with a head: score it with --part backbone")
    return keras.Model(network.input, network.output["binary"], name=network.name)


def truth(root, name, split, at):
    """(the true mask of an image by its number, or None without masks; the size (H, W) of its prediction)."""
    if at == "network":
        size = split.images.shape[1:3]
        return (None if split.masks is None else lambda number: np.asarray(split.masks[number])), lambda number: size
    if split.masks is None:
        return None, lambda number: tuple(split.sizes[number].tolist())
    try:
        return source_masks(root, name), None
    except FileNotFoundError as problem:
        raise FileNotFoundError(f"{problem}; or score at the network's size: --at network") from None


def masks_of_annotators(root, name, split, at):
    """A function from the number of an image to its annotators' masks, uint8 (annotators, H, W, classes) of {0, 1}."""
    if at == "network":
        return lambda number: from_bits(np.asarray(split.votes[number]), len(split.annotators[number]))
    return source_annotators(root, name)


# === Scoring ===


def evaluate(
    run: str | None = None, split: str = "val", data: str | None = None, threshold: float | str | None = None,
    batch_size: int | None = None, tta: bool | None = None, clean: bool | None = None, at: str = "source",
    ensemble: Sequence[str] = (), boundary: bool = False, part: str = "backbone",
) -> dict | None:  # fmt: skip
    """Score one split with a run of checkpoint_best/ and write every file.

    run: None is the newest. ensemble: names of several runs instead, whose probabilities are averaged; the first one's
    settings hold. data, threshold, batch_size, tta, clean: None means the run's own; threshold may be "best" or
    "challenge". at: "source" or "network", the size that is scored. boundary: also measure boundary distances. part:
    "backbone" or "head", whose map is scored. Returns the contents of metrics.json, or None for a split without masks.
    Raises UserError and FileNotFoundError that say what to do.
    """
    # 1. open the runs and the data
    folders = [runs.find(name) for name in ensemble] if ensemble else [runs.find(run)]
    given: dict[str, Any] = {"data": data, "tta": tta, "clean": clean}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = [dataclasses.replace(runs.settings(folder), **changes) for folder in folders]
    first = settings[0]
    check_unseen(folders, first.data, split)
    images = open_split(first.data, split)
    chosen = chosen_thresholds(folders, first, images, threshold)
    weights = [runs.weights_of(folder) for folder in folders if folder.is_dir()]  # in a file alone nothing is noted
    options = score_split.Options(chosen, first.tta, first.clean, batch_size or first.batch_size, boundary)
    out_of_fold = is_out_of_fold(folders, first, split)
    maps = maps_of(folders, settings, images, options, part, out_of_fold)
    own = runs.settings(folders[0])
    own_validation = split == "val" and first.data == own.data
    kept = known(folders, images.classes, options, part, own_validation, out_of_fold)

    # 2. predict, count
    name = run_name(folders, part)
    output = evaluations.OUTPUT / name / evaluations.name_of(split, own, first, threshold, at)
    predictions = evaluations.masks_of(output)
    truth_of, size_of = truth(first.data, split, images, at)
    write_results.clear(output, predictions)
    scored = score_split.score(maps, images, truth_of, size_of, options, predictions)
    print(f"masks       {predictions}/")
    if scored is None:
        print(f"{first.data} has no masks for split {split!r}: predicted {len(images.ids)} images, nothing to score")
        return None

    # 3. scores
    head = {"run": name, "data": str(first.data), "split": split, "images": len(images.ids)}
    head |= {"size": list(images.images.shape[1:3]), "at": at, "threshold": threshold_facts(chosen, images.classes)}
    head |= {"tta": first.tta, "clean": first.clean, "variant": options.variant}
    head |= {"out_of_fold": True} if out_of_fold else {}
    result, table = write_results.contents(head, scored, options, images.classes)
    if images.annotators:
        drawn = masks_of_annotators(first.data, split, images, at)
        among = annotators.measure(images, drawn, predictions, output)
        result |= {"annotators": among} if among else {}
    trusted = trust.assess(scored, images, first, options, kept)
    result |= trusted.result
    of_the_run = len(folders) == 1 and folders[0].is_dir() and part == "backbone"
    result["best_thresholds"]["kept"] = of_the_run and own_validation
    if of_the_run:
        remember(folders[0], weights, output.name, result, images.classes, options, trusted)

    # 4. figures, reports
    def sample(number):
        found = mask_images.read_masks(predictions, images.ids[number], images.classes)
        return images.images[number], images.masks[number], found

    evaluation = write_results.Evaluation(result, scored, table, images.ids, images.classes, trusted)
    write_results.draw(output, evaluation, images, predictions)
    text = write_results.write(output, evaluation, dataclasses.asdict(first), sample)
    evaluations.write_overview(name)
    print(f"report      {output}/report.html, report.md\nscores      {output}/performances.txt, metrics.json, *.csv")
    print(f"figures     {output}/*.png, worst/\n\n{text}", end="")
    return write_results.without_nan(result)


def known(folders, classes, options, part, own_validation, out_of_fold):
    """What is kept to trust masks that are made so; None on a run's own validation images, where it is found anew.

    Of several networks together, of AdSTNet's head, and of the single members of an ensemble, which are surer than
    their mean, nothing is.
    """
    if len(folders) > 1 or part != "backbone" or out_of_fold:
        return kept_trust.nothing(classes)
    if own_validation:
        return None
    return kept_trust.of_run(folders[0], classes, options.tta, options.clean, options.thresholds)


def maps_of(folders, settings, images, options, part, out_of_fold):
    """The probabilities of each image, as score_split.probabilities gives them."""
    if out_of_fold:
        return maps_out_of_fold(folders[0], images, settings[0], options)
    networks = [(load(folder, part), each) for folder, each in zip(folders, settings, strict=True)]
    for network, _ in networks:
        check_fit(network, images, settings[0].data)
    return score_split.probabilities(networks, images, options)


def check_unseen(folders, data, split):
    """UserError where train and val are divided otherwise than for a run, which has learned from some of the images.

    Where they are not folds, and other images are now in train, that is printed.
    """
    for folder in folders:
        own = runs.settings(folder).data
        if split in folds.PARTS and own != data and folds.plain(own) == folds.plain(data):
            raise UserError(
                f"run '{runs.name_of(folder)}' was trained on {own}: images of {data}, {split}, are among those that it"
                " has learned from; leave out --data, and score its fold, the ensemble of all folds, or --split test"
            )
        members = [runs.find(name) for name in members_of(folder)]
        for one in (members or [folder]) if own == data else ():
            check_division(one, split)


def check_division(folder, split):
    """UserError, or a printed line, where the data of a run have been divided anew since it was trained."""
    own = runs.settings(folder).data
    if "train" not in read_meta(own)["counts"]:
        return
    images = open_split(own, "train")
    noted = runs.facts(folder).get("trained_on")
    is_fold = own.startswith(FOLDS)
    if noted == digest(images) or (noted is None and not (is_fold and images.prints is not None)):
        return  # versions that did not note it made other folds
    name = runs.name_of(folder)
    if is_fold and split in folds.PARTS:
        raise UserError(
            f"run '{name}' was trained on other images than {own} has now: '{folds.plain(own)}' was prepared anew, and "
            f"{split} may hold images that it has learned from; train it again, or score --split test"
        )
    if not is_fold:
        print(
            f"note: {own} has other training images than when '{name}' was trained; if it was divided anew, {split} "
            "may hold images that it has learned from"
        )


def is_out_of_fold(folders, settings, split):
    """Whether a split of the data of `settings` holds the images that the members of the one run were trained on."""
    return len(folders) == 1 and split in folds.PARTS and folds.is_all(settings.data) and bool(members_of(folders[0]))


def members_of(folder):
    """The names of the runs of which an ensemble of folds was made, fold by fold; none of another run."""
    is_of_folds = folds.is_all(runs.settings(folder).data)
    return runs.facts(folder).get("members", []) if is_of_folds else []


def maps_out_of_fold(folder: Path, images: Split, settings, options: score_split.Options) -> Iterator:
    """As score_split.probabilities, of the images of all folds, each by the member that has not learned from it.

    folder: of the ensemble. images: the split of all folds. settings: the ensemble's, those of its members.
    """
    sizes = folds.sizes(settings.data)
    members = [runs.find(name) for name in members_of(folder)]
    if len(members) != len(sizes):
        raise UserError(f"{folder}: made of {len(members)} runs, {settings.data} has {len(sizes)} folds")
    ends = list(itertools.accumulate(sizes))

    def maps():
        for member, size, end in zip(members, sizes, ends, strict=True):
            held_out = subset(images, np.arange(end - size, end))
            network = model.load(runs.network_file(member))
            check_fit(network, held_out, settings.data)
            yield from score_split.probabilities([(network, runs.settings(member))], held_out, options)

    return maps()


def run_name(folders, part):
    """The name under which runs are scored."""
    name = "+".join(map(runs.name_of, folders))
    return f"{name}_head" if part == "head" else name


def chosen_thresholds(folders, settings, images, threshold):
    """The threshold of each class; UserError where an ensemble is asked for a best one."""
    if threshold in runs.CHOSEN and len(folders) > 1:
        raise UserError("no best threshold is kept for an ensemble: name one, such as --threshold 0.45")
    wanted = settings.threshold if threshold is None else threshold
    return runs.thresholds(folders[0], images.classes, wanted, settings.tta, settings.clean)


def threshold_facts(chosen, classes):
    """What metrics.json says of the thresholds: one number, or {class: number} where they differ."""
    if len(set(chosen)) == 1:
        return chosen[0]
    return dict(zip(classes, chosen, strict=True))


def remember(folder, weights, evaluation, result, classes, options, trusted):
    """Keep the scores with the run and, of its own validation images, the best thresholds and what tells how far masks
    can be trusted; renew its model card. Nothing of it, and result says so, if other weights than `weights` are there.

    evaluation: its name.
    """
    kept = ["data", "split", "images", "at", "size", "threshold", "tta", "clean", "per_image", "pooled", "intervals"]
    kept += [name for name in ("challenge", "class_mean", "presence", *trust.SECTIONS) if name in result]
    with locked(folder, f"{folder}/ is being written by another process; evaluate again", wait=60):
        best = result["best_thresholds"]
        if weights != [runs.weights_of(folder)]:
            print(f"{folder.name} was trained on in the meantime: nothing is noted with the run, evaluate it again")
            best["kept"] = False
            return
        results = runs.facts(folder).get("results", {})
        results.pop(evaluation, None)  # the newest comes last
        results[evaluation] = {name: result[name] for name in kept}
        runs.note(folder, results=write_results.without_nan(results))
        if best["kept"]:
            usual = dict.fromkeys(classes, runs.settings(folder).threshold)  # where a class is in no validation image
            together = usual | best.get("together", best["best"])
            chosen = {"thresholds": usual | best["best"], "challenge_thresholds": together}
            if not result.get("out_of_fold"):
                trust.keep(folder, classes, options, trusted)
            runs.keep_thresholds(folder, options.tta, options.clean, **chosen)
        model_card.write(folder)
