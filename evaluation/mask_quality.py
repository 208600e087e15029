"""How well the Jaccard of masks is foreseen (inference/quality.py): fitted on validation images, scored out of fold.

    model = fit(features, jaccards)               # a ridge regression as plain numbers, where is_enough(jaccards)
    estimates = out_of_fold(features, jaccards)   # of each image by a model that has not seen it
    measure(estimates, jaccards, features)        # {"spearman", "auc", "risk_area", …} beside the baselines

The risk at a coverage is the mean of 1 - Jaccard over that fraction of the images whose masks are estimated best; the
area below the curve of all coverages is small where the bad masks are recognised (Geifman and El-Yaniv, 2017).
"""

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from evaluation import bootstrap, summary
from inference import quality
from metrics import CUT

LEAST = 30  # images, from which on a model is fitted
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
FOLDS = 5
VARIED = 5  # images in which a feature is another than usual, from which on it is taken
DRAWS = 1000
RANKINGS = {  # how images are ranked: label in reports
    "estimate": "predicted Jaccard",
    "mean_confidence": "mean confidence of the mask",
    "area": "area of the mask",
}

# === Fitting ===


def is_enough(jaccards: np.ndarray) -> bool:
    """Whether there is something to learn of images with these Jaccards (images,)."""
    return len(jaccards) >= LEAST and np.ptp(jaccards) > 0


def fit(features: np.ndarray, jaccards: np.ndarray) -> dict:
    """A ridge regression of the Jaccard, as inference/quality.py takes it.

    features: (images, values) as quality.features gives them; jaccards: (images,). The penalty is the one of PENALTIES
    whose models foresee best the image that each of them has not seen.
    """
    names = [name for k, name in enumerate(quality.NAMES) if _tells(features[:, k])]
    if not names:  # a class that is hardly ever found
        mean = {"intercept": float(jaccards.mean()), "images": len(jaccards)}
        return {"names": [], "means": [], "scales": [], "weights": []} | mean
    taken = features[:, [quality.NAMES.index(name) for name in names]]
    scaler = StandardScaler().fit(taken)
    ridge = RidgeCV(PENALTIES).fit(quality.standardized(taken, scaler.mean_, scaler.scale_), jaccards)
    arrays = {"means": scaler.mean_, "scales": scaler.scale_, "weights": ridge.coef_}
    model = {"names": names} | {key: each.tolist() for key, each in arrays.items()}
    return model | {"intercept": float(ridge.intercept_), "penalty": float(ridge.alpha_), "images": len(jaccards)}


def _tells(values):
    """Whether a feature is defined and differs from its usual value in more than a few images."""
    return not np.isnan(values).any() and np.count_nonzero(values != np.median(values)) >= VARIED


def out_of_fold(features: np.ndarray, jaccards: np.ndarray) -> np.ndarray:
    """The expected Jaccard of each image by a model, its penalty included, of the other folds' images: (images,)."""
    folds = np.arange(len(jaccards)) % FOLDS
    result = np.empty(len(jaccards))
    for fold in range(FOLDS):
        inside = folds == fold
        result[inside] = quality.estimate(fit(features[~inside], jaccards[~inside]), features[inside])
    return result


# === Scoring ===


def measure(estimates: np.ndarray, jaccards: np.ndarray, features: np.ndarray) -> dict:
    """How well estimates, and what needs no model, rank images by their Jaccard; NaN where undefined.

    Returns {"images", "low": those with a Jaccard below metrics.CUT, "mean_error": mean of |estimate - Jaccard|,
    "risk": of all images, "least_risk_area": of the true order, "rankings": {name of RANKINGS: {"spearman", "auc",
    "risk_area", "intervals": {score: [low, high]}}}}. auc: of a Jaccard below metrics.CUT.
    """
    columns = [estimates, *(features[:, len(quality.NAMES) + k] for k in range(len(quality.BASELINES)))]
    rankings = {name: _ranked(values, jaccards) for name, values in zip(RANKINGS, columns, strict=True)}
    return {
        "images": len(jaccards),
        "low": int(np.count_nonzero(jaccards < CUT)),
        "mean_error": float(np.mean(np.abs(estimates - jaccards))),
        "risk": float(1 - jaccards.mean()),
        "least_risk_area": float(risk_area(jaccards, jaccards)),
        "rankings": rankings,
    }


def _ranked(values, jaccards):
    scores = {"spearman": spearman, "auc": _auc, "risk_area": risk_area}
    found: dict = {name: float(score(values, jaccards)) for name, score in scores.items()}
    drawn = {name: bootstrap.each(score, values, jaccards, draws=DRAWS) for name, score in scores.items()}
    return found | {"intervals": {name: bootstrap.interval(each) for name, each in drawn.items()}}


def _auc(values, jaccards):
    """The chance that a mask below the challenge's Jaccard is ranked below another one."""
    return summary.rank_auc(-values, jaccards < CUT)


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The correlation of the ranks of two rows (…, N), ties by their mean rank; (…), NaN where either is constant."""
    return np.sum(standard_ranks(a) * standard_ranks(b), axis=-1)


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """The ranks of rows (…, N), ties by their mean rank, brought to mean 0 and length 1; NaN where all are equal."""
    ranks = rankdata(values, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return ranks / np.sqrt(np.sum(ranks**2, axis=-1, keepdims=True))


def risks(values: np.ndarray, jaccards: np.ndarray) -> np.ndarray:
    """The risk at the coverages 1/N, 2/N … 1 of rows (…, N): mean of 1 - Jaccard of the images of the highest values.

    Of images with equal values each counts as their mean, so that no order of them matters.
    """
    order = np.argsort(-values, axis=-1)
    losses = np.cumsum(np.take_along_axis(1 - jaccards, order, -1), axis=-1)
    losses = np.concatenate([np.zeros((*losses.shape[:-1], 1)), losses], axis=-1)  # of none, 1, 2 … images
    first, last = (
        np.take_along_axis(rankdata(-values, end, axis=-1), order, -1).astype(int) for end in ("min", "max")
    )  # of the images of an equal value
    first -= 1
    before, after = (np.take_along_axis(losses, ends, -1) for ends in (first, last))
    number = np.arange(1, values.shape[-1] + 1)
    return (before + (after - before) * (number - first) / (last - first)) / number


def risk_area(values: np.ndarray, jaccards: np.ndarray) -> np.ndarray:
    """The mean of the risks over all coverages."""
    return risks(values, jaccards).mean(axis=-1)
