"""For whom masks are good: scores by skin tone, by contrast between lesion and skin, and by lesion size.

    result["subgroups"] = measure(split, jaccards, areas)   # in metrics.json
    blocks(result)                                          # of the report

Skin tone and contrast are measured at the network's size, of the true masks (imaging/skin_tone.py). Whether scores rise
or fall with a trait is tested by Spearman's correlation with the Jaccard of images, by 10,000 permutations.
"""

import math
from typing import Any

import numpy as np
from tqdm import tqdm

from datasets.split import Split
from evaluation import bootstrap
from evaluation.mask_quality import spearman, standard_ranks
from evaluation.report_formats import Heading, Table, Text
from imaging import skin_tone
from metrics import CUT
from utils.threads import in_order

DRAWS = 1000
PERMUTATIONS = 10_000
SOME = 100  # of them at a time
QUARTERS = 4
ANGLES = {"skin_tone": "skin tone (ITA)", "contrast": "contrast between lesion and skin"}  # label in reports


def measure(split: Split, jaccards: np.ndarray, areas: np.ndarray) -> dict[str, Any]:
    """The scores of groups of images.

    split: of one class, with masks. jaccards, areas: (images,), areas of the true masks in % of the image. Returns
    {"skin_tone_classes": [group, …], "skin_tone", "contrast", "area": {"quarters": [group, …], "correlation",
    "interval", "p", "images", "undefined"}}, where a group is {"name" or "range", "images", "jaccard", "interval",
    "low": fraction below 0.65}.
    """
    masks: Any = split.masks

    def work(number):
        return skin_tone.measure(np.asarray(split.images[number]), np.asarray(masks[number])[..., 0])

    rows = tqdm(in_order(work, range(len(split.ids))), "skin tones", len(split.ids), unit="image", disable=None)
    tones, contrasts = np.array(list(rows)).T
    values = {"skin_tone": tones, "contrast": contrasts, "area": np.where(areas == 0, math.nan, areas)}
    result: dict[str, Any] = {"skin_tone_classes": _classes(values["skin_tone"], jaccards)}
    return result | {name: _trait(each, jaccards) for name, each in values.items()}


def _classes(tones, jaccards):
    """A group for each class of skin tone that is there."""
    names = np.array(["" if math.isnan(tone) else skin_tone.name_of(tone) for tone in tones])
    return [{"name": name, **_group(jaccards[names == name])} for name in skin_tone.CLASSES if (names == name).any()]


def _trait(values, jaccards):
    defined = ~np.isnan(values)
    found: dict[str, Any] = {"images": int(defined.sum()), "undefined": int((~defined).sum())}
    values, jaccards = values[defined], jaccards[defined]
    order = np.argsort(values, kind="stable")
    quarters = [rows for rows in np.array_split(order, QUARTERS) if len(rows)]
    found["quarters"] = [{"range": values[rows[[0, -1]]].tolist(), **_group(jaccards[rows])} for rows in quarters]
    return found | trend(values, jaccards)


def _group(jaccards):
    drawn = bootstrap.sums(jaccards[:, None])[:, 0] / len(jaccards)
    low = float(np.mean(jaccards < CUT))
    return {
        "images": len(jaccards), "jaccard": float(jaccards.mean()), "interval": bootstrap.interval(drawn), "low": low
    }  # fmt: skip


def trend(values: np.ndarray, jaccards: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Spearman's correlation, its bootstrap interval, and its two-sided p by permutations; NaN where undefined."""
    if len(values) < 3:
        return {"correlation": math.nan, "interval": [math.nan] * 2, "p": math.nan}
    correlation = float(spearman(values, jaccards))
    interval = bootstrap.interval(bootstrap.each(spearman, values, jaccards, seed=seed, draws=DRAWS))
    if math.isnan(correlation):
        return {"correlation": math.nan, "interval": [math.nan] * 2, "p": math.nan}
    ranks, of_values = standard_ranks(jaccards), standard_ranks(values)
    generator = np.random.default_rng(seed)
    extreme = 0
    for _ in range(PERMUTATIONS // SOME):
        permuted = generator.permuted(np.tile(ranks, (SOME, 1)), axis=1) @ of_values
        extreme += int(np.count_nonzero(np.abs(permuted) >= abs(correlation) - 1e-12))
    return {"correlation": correlation, "interval": interval, "p": (1 + extreme) / (1 + PERMUTATIONS)}


# === In the report ===

LIMITS = (
    "Skin tone is the individual typology angle of the skin around the lesion, arctan((L* - 50) / b*), the median of"
    " its pixels, in the usual classes. From a photograph whose lamp, exposure and white balance nobody has calibrated"
    " it is a rough measure of the picture, not of the person: it does not say who was photographed. Groups of few"
    " images say little, and a group that is not there was not tested at all."
)
TREND = (
    "Trend: Spearman's correlation with the Jaccard of images, p by 10,000 permutations, not corrected for three tests."
)


def blocks(result: dict) -> list:
    """The section of the report, from the contents of metrics.json."""
    found = result["subgroups"]
    header = ["skin tone", "images", "Jaccard", "95 % interval", "below 0.65"]
    tones = [[_range_of(part["name"]), *_cells(part)] for part in found["skin_tone_classes"]]
    tables = [Table(header, tones, "Means of images, with 95 % bootstrap intervals.")]
    for name, label in ANGLES.items():
        trait = found[name]
        rows = [[f"{part['range'][0]:.0f} to {part['range'][1]:.0f}°", *_cells(part)] for part in trait["quarters"]]
        tables.append(Table([label, *header[1:]], rows, _trend_text(trait)))
    size = Text(f"Area of the true mask, its quarters below. {_trend_text(found['area'])}")
    return [Heading("For whom"), Text(LIMITS), *tables, size, Text(TREND)]


def _range_of(name):
    """The name of a class of skin tone with its angles."""
    names = list(skin_tone.CLASSES)
    place = names.index(name)
    above = skin_tone.CLASSES[name]
    if place == 0:
        return f"{name} (above {above:g}°)"
    below = f"{skin_tone.CLASSES[names[place - 1]]:g}°"
    return f"{name} ({below} or less)" if math.isinf(above) else f"{name} ({above:g} to {below})"


def _cells(part):
    low, high = part["interval"]
    return [
        str(part["images"]), f"{part['jaccard']:.3f}", f"{low:.3f}–{high:.3f}", f"{100 * part['low']:.0f} %"
    ]  # fmt: skip


def _trend_text(trait):
    if trait["correlation"] is None or math.isnan(trait["correlation"]):
        return "Trend: undefined."
    low, high = trait["interval"]
    text = f"Trend {trait['correlation']:+.2f} (95 %: {low:+.2f} to {high:+.2f}), p = {trait['p']:.2g}."
    if trait["undefined"]:
        text += f" Images left out, of which too little of skin or lesion is seen: {trait['undefined']}."
    return text
