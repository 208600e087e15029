"""The model card of a run, checkpoint_best/RUN/README.md: what it was made of, how good it is, what it is not for.

    python -m evaluation.model_card RUN   # write it anew; train.py and evaluate.py do so themselves

Made of settings.yaml, run.json and, where run.json says nothing of the data, the meta.json of the prepared arrays.
What is not known yet is left out, or told with the command that finds it.
"""

import argparse
import contextlib
from pathlib import Path

import runs
from datasets.arrays import read_meta
from datasets.registry import TABLE
from utils import errors
from utils.errors import UserError
from utils.files import replacing

SKIN = ("isic2016", "isic2017", "isic2018", "ham10000", "ph2")
SCORES = (
    {
        "Jaccard": ("per_image", "jaccard"),
        "thresholded Jaccard": ("per_image", "thresholded_jaccard"),
        "Dice": ("per_image", "dice"),
        "pooled Jaccard": ("pooled", "jaccard"),
    },
    "Means over images, except the pooled one, in which all pixels count together.",
)
OF_ATTRIBUTES = (
    {
        "challenge Jaccard": ("challenge", "jaccard"),
        "challenge Dice": ("challenge", "dice"),
        "macro Jaccard": ("class_mean", "jaccard"),
        "macro Dice": ("class_mean", "dice"),
    },
    "Challenge: pixels as shares of their image, all attributes together, as ISIC 2018 Task 2 ranks; macro: the mean of"
    " the attributes, of each all pixels together.",
)


def write(folder):
    """Write README.md into the folder of a run; returns its path."""
    folder = Path(folder)
    with replacing(folder / "README.md") as path:
        path.write_text(text(folder), encoding="utf-8")
    return folder / "README.md"


def text(folder):
    """The card of a run as Markdown."""
    settings, facts = runs.settings(folder), runs.facts(folder)
    name = runs.name_of(folder)
    data = data_facts(settings, facts)
    parts = [
        head(name, settings, facts, data),
        usage(name, settings, facts, data),
        scores(name, facts),
    ]
    parts += [data_part(data, facts), training(settings, facts), limits(facts, data)]
    if versions := facts.get("versions"):
        parts.append("Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")
    return "\n\n".join(parts) + "\n"


def data_facts(settings, facts):
    """What is known of the data: {"dataset", "task", "licence", …}, and "declarations", those of datasets/table.py."""
    data = facts.get("data")
    if not data:
        data = {}
        with contextlib.suppress(FileNotFoundError, UserError):  # the arrays are gone
            data = read_meta(settings.data)
    names = str(data.get("dataset", "")).split("+")  # several together
    found = [one for one in TABLE.values() if one.name in names and one.task == data.get("task")]
    return {**data, "declarations": found}


# === Parts ===


def head(name, settings, facts, data):
    classes = facts.get("classes") or data.get("classes") or ["lesion"]
    counts = f" of {facts['parameters']:,} parameters" if "parameters" in facts else ""
    source = ", trained on " + "; ".join(one.title for one in data["declarations"]) if data["declarations"] else ""
    return f"""# {name}

Masks of {", ".join(classes).replace("_", " ")} in images of any size. Network `{settings.model}`{counts}{source}.

**Not a medical device.** For research and teaching; see the limits below."""


def usage(name, settings, facts, data):
    steps = [f"pixels prepared as `{settings.normalize}`", f"threshold {settings.threshold:g}"]
    if size := facts.get("size") or data.get("size"):
        steps.insert(0, f"images brought to {size[0]} × {size[1]} pixels (height × width)")
    if best := facts.get("thresholds"):
        steps[-1] += f" (best on the validation images: {threshold_text(best)})"
    steps += ["dark hairs taken out of the image"] * settings.remove_hair
    steps += ["mean over mirrored and turned copies"] * settings.tta
    steps += ["of each mask the largest part, its holes filled"] * settings.clean
    return f"""## Use

    python predict.py IMAGES --run {name}

    from predict import load_predictor
    predictor = load_predictor("{name}")  # or the path of model.keras
    mask, probabilities = predictor(image)  # uint8 (H, W, 3) RGB → bool, float32 (H, W, classes)

Both do all that belongs to the network: {"; ".join(steps)}."""


def scores(name, facts):
    lines = ["## Scores", ""]
    if validation := facts.get("scores"):
        found = ", ".join(f"{name.removeprefix('val_')} {value:.4f}" for name, value in validation.items())
        lines += [f"In training, on the validation images at the network's size: {found}.", ""]
    results = facts.get("results")
    if not results:
        return "\n".join([*lines, f"Not evaluated yet: `python evaluate.py --run {name} --split test`."])
    columns, meaning = OF_ATTRIBUTES if all("challenge" in result for result in results.values()) else SCORES
    header = ["images", "scored at", "threshold", "options", *columns]
    lines += [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for split, result in results.items():
        cells = [f"{split} ({result['images']})", f"{result['at']} size", threshold_text(result["threshold"])]
        cells.append(", ".join(name for name in ("tta", "clean") if result.get(name)) or "none")
        cells += [score_text(result, *place) for place in columns.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return (
        "\n".join(lines)
        + f"""

{meaning} In brackets bootstrap intervals of 95 % over images. Options: `tta`, mean over mirrored and turned copies;
`clean`, the largest part of each mask, its holes filled. More, with pictures: `output/{name}/report.html`."""
    )


def score_text(result, kind, name):
    value, interval = result[kind][name], result.get("intervals", {}).get(kind, {}).get(name)
    if value is None:
        return "undefined"
    return f"{value:.3f}" + ("" if not interval or None in interval else " ({:.3f} to {:.3f})".format(*interval))


def threshold_text(threshold):
    if isinstance(threshold, dict):
        return ", ".join(f"{name} {value:g}" for name, value in threshold.items())
    return f"{threshold:g}"


def data_part(data, facts):
    rows = [("set", f"{one.title}, {one.homepage}".rstrip(", ")) for one in data["declarations"]]
    rows = rows or [("set", data.get("dataset"))]
    rows += [("to be cited", one.citation) for one in data["declarations"]]
    rows.append(("terms", data.get("licence")))
    counts = facts.get("images") or data.get("counts", {})
    rows.append(("images", ", ".join(f"{count:,} {split}" for split, count in counts.items())))
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows if value)]
    if data.get("licence", "none needed") != "none needed":
        lines += ["", "The terms are those of the images; keep to them in the use of the network too."]
    return "\n".join(["## Data", "", *(lines if rows[0][1] else ["Not known: run.json does not tell."])])


def training(settings, facts):
    rows = [(name.replace("_", " "), text) for name, text in runs.main_settings(settings).items()]
    if facts.get("init"):
        rows.append(("began with the weights of", facts["init"]))
    if "epoch" in facts:
        rows.append(("epoch that was kept", f"{facts['epoch']}, by {settings.monitor}"))
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(["## Training", "", "| | |", "|---|---|", *lines, "", "Every setting: `settings.yaml`."])


def limits(facts, data):
    size = facts.get("size") or data.get("size")
    side = f" at {size[0]} × {size[1]} pixels" if size else " at one small size"
    lines = [
        "Meant for outlining and measuring in research and teaching, on images like those of the data above.",
        "Not for diagnosis, screening or treatment, nor to decide whether there is a lesion at all: it was not tested"
        " for that, and nobody has approved it. A person must look at every mask that matters.",
        f"The network sees images{side}; what is finer is lost, whatever the size of the mask.",
        "Other devices, light, magnification, body sites or patients than in the data may give worse masks without"
        " any sign of it: score it on your own images first (`python evaluate.py --data …`).",
    ]
    if any(one.name in SKIN for one in data["declarations"]):
        lines.append(
            "Public dermoscopic images show mostly light skin; hair, rulers, gel, ink and lesions that leave the"
            " picture are known to mislead such networks. Clinical photographs are another kind of image."
        )
    return "\n".join(["## Intended use and limits", "", *(f"- {line}" for line in lines)])


# === Command line ===


@errors.in_one_line()
def main(argv=None):
    parser = argparse.ArgumentParser(description="Write the model card of a run anew.")
    parser.add_argument("run", nargs="?", help="name of a folder in checkpoint_best/ (default: the newest)")
    print(write(runs.find(parser.parse_args(argv).run)))


if __name__ == "__main__":
    main()
