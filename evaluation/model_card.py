"""The model card of a run, checkpoint_best/RUN/README.md: what it was made of, its scores, its intended use and limits.

    python -m evaluation.model_card --run RUN   # write it anew; train.py and evaluate.py do so themselves

Made of settings.yaml, run.json and, where run.json says nothing of the data, the meta.json of the prepared arrays.
What is not known yet is left out, or named with the command that finds it.
"""

import argparse
import contextlib
from pathlib import Path

import runs
from datasets import folds
from datasets.arrays import read_meta
from datasets.registry import TABLE
from utils import errors
from utils.errors import UserError
from utils.files import replacing
from utils.lazy import lazily

with lazily():  # pandas
    from evaluation import summary

TRAITS = {"skin_tone": "skin tone, dark to light", "contrast": "contrast of lesion and skin", "area": "lesion size"}


def write(folder: str | Path) -> Path:
    """Write README.md into the folder of a run; returns its path."""
    folder = Path(folder)
    with replacing(folder / "README.md") as path:
        path.write_text(text(folder), encoding="utf-8")
    return folder / "README.md"


def text(folder: Path, name: str | None = None) -> str:
    """The card of a run as Markdown. name: of the file that is handed on in its place (evaluation/release.py)."""
    handed_on = name is not None
    settings = runs.settings(folder)
    facts = runs.facts(folder)
    name = name or runs.name_of(folder)
    data = data_facts(settings, facts)
    parts = [
        head(name, settings, facts, data),
        usage(name, settings, facts, data),
        scores(name, facts, handed_on),
    ]
    if trusted := reliability(facts.get("results", {}), settings.data):
        parts.append(trusted)
    found = facts.get("exports")
    if found and not handed_on:
        parts.append(exports(found))
    parts += [data_part(data, facts, handed_on), training(settings, facts, handed_on), limits(facts, data)]
    if versions := facts.get("versions"):
        parts.append("Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")
    return "\n\n".join(parts) + "\n"


def data_facts(settings, facts):
    """What is known of the data: {"dataset", "task", "licence", …} and "declarations", from datasets/registry.py."""
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
    counts = ""
    if "parameters" in facts:
        counts = f" of {facts['parameters']:,} parameters"
    source = ""
    if data["declarations"]:
        source = ", trained on " + "; ".join(one.title for one in data["declarations"])
    return f"""# {name}

Masks of {", ".join(classes).replace("_", " ")} in images of any size. Network `{settings.model}`{counts}{source}.

**Not a medical device.** For research and teaching; see the limits below."""


def usage(name, settings, facts, data):
    steps = [f"pixels prepared as `{settings.normalize}`", f"threshold {settings.threshold:g}"]
    if size := facts.get("size") or data.get("size"):
        steps.insert(0, f"images brought to {size[0]} × {size[1]} pixels (height × width)")
    if best := facts.get("thresholds"):
        steps[-1] += f" (best on the validation images: {threshold_text(best)})"
    if settings.remove_hair:
        steps.append("dark hairs removed from the image")
    if settings.tta:
        steps.append("test-time augmentation (the mean over mirrored and turned copies)")
    if settings.clean:
        steps.append("of each mask the largest connected component, its holes filled")
    return f"""## Use

    python predict.py IMAGES --run {name}

    from predict import load_predictor
    predictor = load_predictor("{name}")  # or the path of model.keras
    mask, probabilities = predictor(image)  # uint8 (H, W, 3) RGB → bool, float32 (H, W, classes)

Both do all that belongs to the network: {"; ".join(steps)}."""


def scores(name, facts, handed_on):
    lines = ["## Scores", ""]
    if validation := facts.get("scores"):
        found = ", ".join(f"{name.removeprefix('val_')} {value:.4f}" for name, value in validation.items())
        lines += [f"In training, on the validation images at the network's size: {found}.", ""]
    results = facts.get("results")
    if not results:
        return "\n".join([*lines, f"Not evaluated yet: `python evaluate.py --run {name} --split test`."])
    lines += results_table(results)
    if not handed_on:
        lines += ["", f"Full reports: `output/{name}/report.html`."]
    return "\n".join(lines)


def reliability(results, data):
    """How far masks can be trusted, or "".

    Of the evaluations on the run's own data the newest, if there is one of test images with estimates of quality, or
    else of test images; if there is none, of any others.
    """
    found = [name for name, result in results.items() if "subgroups" in result or "quality" in result]
    if not found:
        return ""

    def rank(name):
        result = results[name]
        own = folds.plain(result["data"]) == folds.plain(data)  # all folds have the same test images
        return own, result["split"] == "test", "quality" in result

    name = max(reversed(found), key=rank)
    result = results[name]
    lines = [*_calibration_lines(result), *_quality_lines(result), *_unusual_lines(result)]
    head = f"## Reliability\n\nOn the {result['images']} images of `{name}` above."
    return "\n\n".join(["\n".join([head, "", *(f"- {line}" for line in lines)]), *_subgroup_parts(result)])


def _calibration_lines(result):
    for name, part in result.get("calibration", {}).get("classes", {}).items():
        before, after = (part[when]["expected_calibration_error"] for when in ("before", "after"))
        yield (
            f"Probabilities of {name.replace('_', ' ')} are calibrated by a temperature of {part['temperature']:.2f}:"
            f" expected calibration error {before:.4f} before, {after:.4f} after."
        )


def _quality_lines(result):
    for name, part in result.get("quality", {}).get("classes", {}).items():
        ranking = part["rankings"]["estimate"]
        auc = "undefined" if ranking["auc"] is None else f"{ranking['auc']:.2f}"
        spearman = "undefined" if ranking["spearman"] is None else f"{ranking['spearman']:.2f}"
        yield (
            f"The Jaccard that is predicted for each mask of {name.replace('_', ' ')} is {part['mean_error']:.3f} off"
            f" on average; correlation with the true one {spearman} (Spearman), AUC for a Jaccard below 0.65 {auc}."
        )


def _unusual_lines(result):
    if "unusual" in result:
        yield f"{result['unusual']['images']} of the images are flagged as unusual."


def _subgroup_parts(result):
    """For whom, in two tables and a sentence."""
    if "subgroups" not in result:
        return
    found = result["subgroups"]
    lines = ["| skin tone | images | Jaccard |", "|---|---|---|"]
    for part in found["skin_tone_classes"]:
        low, high = part["interval"]
        lines.append(f"| {part['name']} | {part['images']} | {part['jaccard']:.3f} ({low:.3f} to {high:.3f}) |")
    lines += ["", "| trait | lowest quarter | highest quarter | trend |", "|---|---|---|---|"]
    for name, label in TRAITS.items():
        trait = found[name]
        if not trait["quarters"] or trait["correlation"] is None:
            continue
        ends = [f"{trait['quarters'][place]['jaccard']:.3f}" for place in (0, -1)]
        lines.append(f"| {label} | {ends[0]} | {ends[1]} | {trait['correlation']:+.2f}, p = {trait['p']:.2g} |")
    yield "\n".join(lines)
    yield (
        "Mean Jaccard of images, with 95 % bootstrap intervals; trend: Spearman's correlation, p by permutations. Skin"
        " tone is the individual typology angle of the photographed skin in its usual classes, a rough measure where"
        " nobody has calibrated the camera. Groups that are missing or small were not tested."
    )


def exports(found):
    """What export.py compared, a row a file."""
    lines = [
        "## Exports",
        "",
        "| file | largest difference of a probability | mean Jaccard: run, file |",
        "|---|---|---|",
    ]
    for name, each in found.items():
        check = each["check"]
        cells = [f"`{name}`", f"{check['largest_difference']:.1e}"]
        cells.append(f"{check['jaccard_keras']:.4f}, {check['jaccard_export']:.4f}")
        if int8 := each.get("int8"):
            cells[2] += f"; int8 {int8['jaccard_int8']:.4f}, {int8['speed']:.2f} times as fast ({int8['runtime']})"
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "On the validation images, at the network's size."])


def results_table(results):
    """Lines of a table with a row for each split that was evaluated, and what it shows."""
    columns = {}
    for result in results.values():
        columns |= summary.main_scores(result)
    header = ["images", "scored at", "threshold", "options", *(label for _, _, label in columns.values())]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for evaluation, result in results.items():
        cells = [f"{evaluation} ({result['images']})", f"{result['at']} size", threshold_text(result["threshold"])]
        cells.append(", ".join(name for name in ("tta", "clean") if result.get(name)) or "none")
        cells += [score_text(result, kind, score) for kind, score, _ in columns.values()]
        lines.append(f"| {' | '.join(cells)} |")
    kinds = dict.fromkeys(kind for kind, _, _ in columns.values())
    return [
        *lines,
        "",
        *(summary.MEANING[kind] for kind in kinds),
        "In brackets: 95 % bootstrap intervals over images. Options: `tta`, test-time augmentation; `clean`, of each",
        "mask the largest connected component, its holes filled.",
    ]


def score_text(result, kind, name):
    """A score and its interval; empty where an evaluation did not compute it."""
    if name not in result.get(kind, {}):
        return ""
    value = result[kind][name]
    if value is None:
        return "undefined"
    interval = result.get("intervals", {}).get(kind, {}).get(name)
    if not interval or None in interval:
        return f"{value:.3f}"
    low, high = interval
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def threshold_text(threshold):
    if isinstance(threshold, dict):
        return ", ".join(f"{name} {value:g}" for name, value in threshold.items())
    return f"{threshold:g}"


def data_part(data, facts, handed_on):
    rows = [("set", f"{one.title}, {one.homepage}".rstrip(", ")) for one in data["declarations"]]
    rows = rows or [("set", data.get("dataset"))]
    rows += [("to be cited", one.citation) for one in data["declarations"]]
    rows.append(("terms", data.get("licence")))
    counts = facts.get("images") or data.get("counts", {})
    rows.append(("images", ", ".join(f"{count:,} {split}" for split, count in counts.items())))
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows if value)]
    if data.get("licence", "none needed") != "none needed":
        lines += ["", "The terms are those of the images; keep to them in the use of the network too."]
        if handed_on:
            lines[-1] += " This file is not under the licence of the program."
    return "\n".join(["## Data", "", *(lines if rows[0][1] else ["Not known: run.json does not say."])])


def training(settings, facts, handed_on):
    rows = [(name.replace("_", " "), text) for name, text in runs.main_settings(settings).items()]
    if facts.get("members"):
        rows.append(("mean probability of the runs", ", ".join(facts["members"])))
    if facts.get("init"):
        rows.append(("initial weights from", facts["init"]))
    if "epoch" in facts:
        rows.append(("epoch that was kept", f"{facts['epoch']}, by {settings.monitor}"))
    lines = [f"| {name} | {value} |" for name, value in rows]
    where = "inside the file" if handed_on else "`settings.yaml`"
    return "\n".join(["## Training", "", "| | |", "|---|---|", *lines, "", f"Every setting: {where}."])


def limits(facts, data):
    size = facts.get("size") or data.get("size")
    side = f"at {size[0]} × {size[1]} pixels" if size else "at one small size"
    lines = [
        "Meant for outlining and measuring in research and teaching, on images like those of the data above.",
        "Not for diagnosis, screening or treatment, nor to decide whether there is a lesion at all: it was not tested"
        " for that, and nobody has approved it. A person must look at every mask that matters.",
        f"The network works on images {side}; finer detail is lost, whatever the size of the mask.",
        "Other devices, light, magnification, body sites or patients than in the data may give worse masks without"
        " any sign of it: score it on your own images first (`python evaluate.py --data …`).",
    ]
    if any(one.skin and one.citation for one in data["declarations"]):  # published images of skin
        lines.append(
            "Public dermoscopic images show mostly light skin; hair, rulers, gel, ink and lesions that leave the"
            " picture are known to mislead such networks. Clinical photographs are another kind of image."
        )
    return "\n".join(["## Intended use and limits", "", *(f"- {line}" for line in lines)])


# === Command line ===


@errors.in_one_line()
def main(argv=None):
    parser = argparse.ArgumentParser(description="Write the model card of a run anew.")
    parser.add_argument("--run", help="name of a folder in checkpoint_best/ (default: the newest)")
    parser.add_argument("name", nargs="?", help=argparse.SUPPRESS)  # the run, as older commands name it
    given = parser.parse_args(argv)
    print(write(runs.find(given.run or given.name)))


if __name__ == "__main__":
    main()
