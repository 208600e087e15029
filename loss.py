"""Every loss of the toolkit, computed from logits, and the short specs by which settings name them.

    loss.from_spec("wbce")                                  # AS-Net
    loss.from_spec("0.5*bce + dice")                        # AdSTNet's public code; "bce + dice" is the plain sum
    loss.from_spec("wbce(weight=[1, 8.07, 15.38, 2.24, 2.52]) + batch_dice")
    loss.from_spec("tversky(alpha=0.3, beta=0.7)")

A loss takes masks (B, H, W, C) of {0, 1} and logits (B, H, W, C), any float dtype, and computes in float32. It gives
one value per image, (B,), as Keras needs to scale it under tf.distribute. The batch losses pool the batch (under
tf.distribute the global batch of all replicas) into one ratio per class and give that value B times, so that the mean,
and the gradient, are those of one device.

Masks may be soft, in [0, 1], as MixUp makes them. Pixel losses are linear in the mask: the loss of a blend is the blend
of the losses. Overlap losses are 0 where the probabilities equal the mask. `lovasz`, a hinge, wants {0, 1}.
"""

import ast
import math
import re
from numbers import Real

import keras
from keras import ops

from utils.errors import UserError

PACKAGE = "lesion"  # the prefix under which Keras files our classes in saved models


# === Helpers ===


def _float32(masks, logits):
    """Both as float32 tensors of one shape (B, H, W, C); UserError when the shapes differ or are not of rank 4."""
    masks = ops.cast(ops.convert_to_tensor(masks), "float32")
    logits = ops.cast(ops.convert_to_tensor(logits), "float32")
    pairs = zip(masks.shape, logits.shape, strict=False)
    same = len(masks.shape) == len(logits.shape) == 4 and all(None in pair or pair[0] == pair[1] for pair in pairs)
    if not same:
        got = f"{tuple(masks.shape)} and {tuple(logits.shape)}"
        raise UserError(f"masks and logits must both be (batch, height, width, classes), got {got}")
    return masks, logits


def _cross_entropy(masks, logits, weight=1.0):
    """-[w y log p + (1 - y) log(1 - p)] per pixel, by log p = -softplus(-z), log(1 - p) = -z - softplus(-z)."""
    return (1.0 - masks) * logits + (1.0 + (weight - 1.0) * masks) * ops.softplus(-logits)


def _pool(areas, weights):
    """The sums (3, C) of areas (3, B, C) over the images of all replicas of a tf.distribute strategy.

    weights: (B,) in {0, 1}, or None; images of weight 0 are left out.
    """
    if weights is not None:
        areas = areas * ops.reshape(ops.cast(weights, areas.dtype), (-1, 1))
    sums = ops.sum(areas, axis=1)
    if keras.backend.backend() != "tensorflow":
        return sums
    from compute import replicas  # needs TensorFlow, which the losses themselves do not

    return replicas.total(sums)


def _positive(name, value, per_class=False):
    """value as a float above 0 or, where `per_class`, as a list of floats that may hold zeros too; else UserError."""
    listed = per_class and isinstance(value, list | tuple)
    values = list(value) if listed else [value]
    right = [isinstance(v, Real) and not isinstance(v, bool) and math.isfinite(v) and v >= 0 for v in values]
    if not all(right) or not any(values):
        what = "a positive number or a list of such, one per class" if per_class else "a positive number"
        raise UserError(f"{name} must be {what}, got {value!r}")
    return [float(v) for v in values] if listed else float(value)


def _per_class(name, values, classes):
    """The weights as a tensor (C,), or a scalar; UserError unless there is one for each class."""
    if isinstance(values, list) and classes is not None and len(values) != classes:
        raise UserError(f"{name} holds {len(values)} values, but there are {classes} classes")
    return ops.convert_to_tensor(values, dtype="float32")


class _Loss(keras.losses.Loss):
    """Names the loss by its spec (`WBCE` -> "wbce"), checks shapes, and saves what `parameters` names."""

    parameters: tuple[str, ...] = ()
    per_class: str | None = None  # the parameter that takes a list with one weight for each class

    def __init__(self, name=None, reduction="sum_over_batch_size"):
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        super().__init__(name=name or snake, reduction=reduction)

    def call(self, y_true, y_pred, weights=None):
        """One value per image, (B,). weights: (B,) in {0, 1}, or None; losses that pool the batch leave out the 0."""
        return self.per_image(*_float32(y_true, y_pred))

    def per_image(self, masks, logits):
        """One value per image, (B,), from float32 masks and logits of one shape."""
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), **{key: getattr(self, key) for key in self.parameters}}


# === Pixel losses ===


@keras.saving.register_keras_serializable(PACKAGE)
class BCE(_Loss):
    """Binary cross-entropy, mean over pixels and classes."""

    def per_image(self, masks, logits):
        return ops.mean(_cross_entropy(masks, logits), axis=(1, 2, 3))  # (B,)


@keras.saving.register_keras_serializable(PACKAGE)
class WBCE(_Loss):
    """Cross-entropy with weighted positives, mean over pixels of -[w y log p + (1 - y) log(1 - p)] (AS-Net,
    doi 10.1016/j.eswa.2022.117112; w = 2.5). `weight`: one number, or a list with one per class."""

    parameters = ("weight",)
    per_class = "weight"

    def __init__(self, weight=2.5, **kwargs):
        super().__init__(**kwargs)
        self.weight = _positive("weight", weight, per_class=True)

    def per_image(self, masks, logits):
        weight = _per_class("weight", self.weight, logits.shape[-1])
        return ops.mean(_cross_entropy(masks, logits, weight), axis=(1, 2, 3))  # (B,)


@keras.saving.register_keras_serializable(PACKAGE)
class L1(_Loss):
    """Mean of |p - y| over pixels and classes: what JAAL-Net's generator learns from, but for its adversary."""

    def per_image(self, masks, logits):
        return ops.mean(ops.abs(ops.sigmoid(logits) - masks), axis=(1, 2, 3))  # (B,)


@keras.saving.register_keras_serializable(PACKAGE)
class Focal(_Loss):
    """Mean over pixels of -α (1 - p)^γ log p where y = 1, of -(1 - α) p^γ log(1 - p) where y = 0 (Lin et al., 2017)."""

    parameters = ("alpha", "gamma")

    def __init__(self, alpha=0.25, gamma=2.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = _positive("alpha", alpha)
        self.gamma = _positive("gamma", gamma)
        if not 0 < self.alpha < 1:
            raise UserError(f"alpha must lie between 0 and 1, got {alpha!r}")

    def per_image(self, masks, logits):
        present = ops.softplus(-logits)  # -log p
        absent = logits + present  # -log(1 - p)
        values = self.alpha * masks * ops.exp(-self.gamma * absent) * present
        values += (1.0 - self.alpha) * (1.0 - masks) * ops.exp(-self.gamma * present) * absent
        return ops.mean(values, axis=(1, 2, 3))  # (B,)


@keras.saving.register_keras_serializable(PACKAGE)
class Lovasz(_Loss):
    """Lovász hinge (Berman et al., 2018): the convex surrogate of Jaccard, per image and class; mean over classes."""

    def per_image(self, masks, logits):
        shape = (*ops.shape(logits)[:1], logits.shape[-1], -1)
        masks, logits = (ops.reshape(ops.transpose(x, (0, 3, 1, 2)), shape) for x in (masks, logits))  # (B, C, H·W)
        errors = 1.0 - logits * (2.0 * masks - 1.0)
        order = ops.argsort(-errors, axis=-1)
        errors, true = (ops.take_along_axis(x, order, axis=-1) for x in (errors, masks))
        # 1. Jaccard loss when the n worst pixels are wrong, n = 1 … H·W; 2. its steps weigh the errors.
        missed, false = ops.cumsum(true, axis=-1), ops.cumsum(1.0 - true, axis=-1)
        area = ops.sum(true, axis=-1, keepdims=True)
        losses = 1.0 - (area - missed) / (area + false)
        steps = ops.concatenate([losses[..., :1], losses[..., 1:] - losses[..., :-1]], axis=-1)
        return ops.mean(ops.sum(ops.relu(errors) * steps, axis=-1), axis=-1)  # (B,)


@keras.saving.register_keras_serializable(PACKAGE)
class Structure(_Loss):
    """Cross-entropy plus Jaccard with more weight near the outline, of F3Net (Wei et al., 2020, section 3.3):
    w = 1 + `weight` · |mean of y over a square of `window` pixels - y|. Means leave out what lies beyond the image."""

    parameters = ("weight", "window")

    def __init__(self, weight=5.0, window=31, **kwargs):
        super().__init__(**kwargs)
        self.weight = _positive("weight", weight)
        if type(window) is not int or window < 1 or window % 2 == 0:
            raise UserError(f"window must be an odd whole number of pixels, got {window!r}")
        self.window = window

    def per_image(self, masks, logits):
        means = masks
        for window in ((self.window, 1), (1, self.window)):  # two passes give the square's mean
            means = ops.average_pool(means, window, strides=1, padding="same", data_format="channels_last")
        weights = 1.0 + self.weight * ops.abs(means - masks)
        probabilities = ops.sigmoid(logits)

        def area(values):
            return ops.sum(weights * values, axis=(1, 2))  # (B, C)

        entropy = area(_cross_entropy(masks, logits)) / ops.sum(weights, axis=(1, 2))
        overlap = area(ops.minimum(probabilities, masks))
        jaccard = (overlap + 1.0) / (area(probabilities + masks) - overlap + 1.0)
        return ops.mean(entropy + 1.0 - jaccard, axis=-1)  # (B,)


# === Overlap losses ===


class _Overlap(_Loss):
    """1 - score of soft areas, per class, then the mean over classes weighted by `class_weights`, Σ w (1 - s) / Σ w
    (None: plain mean). `epsilon` (pixels) is added above and below the line, so that 0/0 counts as 1.
    `pooled`: areas of the whole batch.

    The overlap is Σ min(p, y). For masks of {0, 1} that is Σ p y; for soft ones only the former makes the loss 0 at
    p = y (Dice semimetric losses, Wang et al., 2023)."""

    pooled = False
    parameters: tuple[str, ...] = ("class_weights", "epsilon")
    per_class = "class_weights"

    def __init__(self, class_weights=None, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.class_weights = class_weights
        if class_weights is not None:
            self.class_weights = _positive("class_weights", class_weights, per_class=True)
        self.epsilon = _positive("epsilon", epsilon)

    def call(self, y_true, y_pred, weights=None):
        masks, logits = _float32(y_true, y_pred)
        probabilities = ops.sigmoid(logits)
        overlap = ops.minimum(probabilities, masks)
        areas = ops.stack([ops.sum(x, axis=(1, 2)) for x in (overlap, probabilities, masks)])  # (3, B, C)
        if self.pooled:
            areas = _pool(areas, weights)  # (3, C)
        losses = self.from_score(self.score(*ops.unstack(areas, 3)))  # ([B,] C)
        if self.class_weights is not None:
            factors = _per_class("class_weights", self.class_weights, logits.shape[-1])
            losses = losses * (factors / ops.mean(factors))
        value = ops.mean(losses, axis=-1)  # (B,), or () when pooled
        return ops.broadcast_to(value, ops.shape(logits)[:1]) if self.pooled else value

    def score(self, overlap, predicted, true):
        """The score per class from soft areas in pixels: Σ p y, Σ p, Σ y."""
        raise NotImplementedError

    def from_score(self, score):
        return 1.0 - score


@keras.saving.register_keras_serializable(PACKAGE)
class Dice(_Overlap):
    """1 - (2 Σ p y + ε) / (Σ p + Σ y + ε), per image and class."""

    def score(self, overlap, predicted, true):
        return (2.0 * overlap + self.epsilon) / (predicted + true + self.epsilon)


@keras.saving.register_keras_serializable(PACKAGE)
class Jaccard(_Overlap):
    """1 - (Σ p y + ε) / (Σ p + Σ y - Σ p y + ε), per image and class."""

    def score(self, overlap, predicted, true):
        return (overlap + self.epsilon) / (predicted + true - overlap + self.epsilon)


@keras.saving.register_keras_serializable(PACKAGE)
class BatchDice(Dice):
    """Soft Dice of each class over the pixels of the whole batch; every image gets the same value."""

    pooled = True


@keras.saving.register_keras_serializable(PACKAGE)
class BatchJaccard(Jaccard):
    """Soft Jaccard of each class over the pixels of the whole batch; every image gets the same value."""

    pooled = True


@keras.saving.register_keras_serializable(PACKAGE)
class Tversky(_Overlap):
    """1 - (tp + ε) / (tp + α fp + β fn + ε) of soft areas, per image and class (Salehi et al., 2017); β above α favors
    sensitivity."""

    parameters: tuple[str, ...] = ("alpha", "beta", *_Overlap.parameters)

    def __init__(self, alpha=0.3, beta=0.7, **kwargs):
        super().__init__(**kwargs)
        self.alpha = _positive("alpha", alpha)
        self.beta = _positive("beta", beta)

    def score(self, overlap, predicted, true):
        errors = self.alpha * (predicted - overlap) + self.beta * (true - overlap)
        return (overlap + self.epsilon) / (overlap + errors + self.epsilon)


@keras.saving.register_keras_serializable(PACKAGE)
class FocalTversky(Tversky):
    """(Tversky loss)^γ per image and class (Abraham and Khan, 2019, whose 1/γ = 3/4 is our γ)."""

    parameters = ("gamma", *Tversky.parameters)

    def __init__(self, gamma=0.75, **kwargs):
        super().__init__(**kwargs)
        self.gamma = _positive("gamma", gamma)

    def from_score(self, score):
        loss = 1.0 - score
        return loss * (loss + 1e-7) ** (self.gamma - 1.0)  # the gradient stays finite at a loss of 0


# === Sums and specs ===


@keras.saving.register_keras_serializable(PACKAGE)
class WeightedSum(_Loss):
    """Σ weight · loss, per image. `losses`: losses of this file; `weights`: as many numbers."""

    def __init__(self, losses, weights, **kwargs):
        kwargs["name"] = kwargs.get("name") or "_".join(part.name for part in losses)
        super().__init__(**kwargs)
        self.losses = list(losses)
        self.weights = [float(weight) for weight in weights]

    def call(self, y_true, y_pred, weights=None):
        parts = zip(self.weights, self.losses, strict=True)
        return sum(factor * part.call(y_true, y_pred, weights) for factor, part in parts)

    def get_config(self):
        parts = [keras.saving.serialize_keras_object(part) for part in self.losses]
        return {**super().get_config(), "losses": parts, "weights": self.weights}

    @classmethod
    def from_config(cls, config):
        parts = [keras.saving.deserialize_keras_object(part) for part in config["losses"]]
        return cls(**{**config, "losses": parts})


LOSSES: dict[str, type[_Loss]] = {
    "wbce": WBCE,
    "bce": BCE,
    "dice": Dice,
    "jaccard": Jaccard,
    "batch_dice": BatchDice,
    "batch_jaccard": BatchJaccard,
    "tversky": Tversky,
    "focal_tversky": FocalTversky,
    "focal": Focal,
    "lovasz": Lovasz,
    "l1": L1,
    "structure": Structure,
}
RENAMED = {"boundary": "structure"}  # former name: name


LONGEST_SPEC = 1000  # letters


def from_spec(spec: str, class_weights: list[float] | None = None) -> keras.losses.Loss:
    """The loss that a spec describes.

    spec: names of LOSSES, each with optional parameters in parentheses (`tversky(alpha=0.3, beta=0.7)`) and an optional
    factor (`0.5*bce`), joined by `+`. class_weights: a list with one for each class, for all losses of the spec that
    take some (`weight` of wbce, `class_weights` of overlap losses) and name none of their own.

    Returns a keras.losses.Loss. Raises UserError, listing the right ones, for unknown names or parameters, and for
    anything else a spec cannot hold; nothing in it is ever executed.
    """
    if len(str(spec)) > LONGEST_SPEC:
        raise _bad(f"{str(spec)[:50]}…", f"is longer than {LONGEST_SPEC:,} letters")
    try:
        tree = ast.parse(str(spec).strip(), mode="eval").body
        found = _terms(tree, 1.0, spec)
        terms = [(factor, _make(name, keywords, spec, class_weights)) for factor, name, keywords in found]
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise _bad(spec, "is not readable") from error
    if class_weights and not any(part.per_class for _, part in terms):
        raise UserError(f"class_weights: no loss of {spec!r} takes any; wbce and the overlap losses (dice, …) do")
    if len(terms) == 1 and terms[0][0] == 1.0:
        return terms[0][1]
    weights, losses = zip(*terms, strict=True)
    return WeightedSum(losses, weights)


def _terms(node, factor, spec):
    """[(factor, name, keywords), …] of a parsed spec."""
    match node:
        case ast.BinOp(op=ast.Add()):
            return _terms(node.left, factor, spec) + _terms(node.right, factor, spec)
        case ast.BinOp(op=ast.Mult(), left=one, right=other):
            number, other = (one, other) if isinstance(one, ast.Constant) else (other, one)
            if isinstance(number, ast.Constant) and type(number.value) in (int, float):
                return _terms(other, factor * _positive("a factor", number.value), spec)
        case ast.Name(id=name):
            return [(factor, name, [])]
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            return [(factor, name, keywords)]
    raise _bad(spec, f"holds {ast.unparse(node)!r}")


def _make(name, keywords, spec, class_weights):
    name = RENAMED.get(name, name)
    if name not in LOSSES:
        raise UserError(f"unknown loss {name!r} in {spec!r}; there are: {', '.join(LOSSES)}")
    allowed = LOSSES[name].parameters
    if wrong := [keyword.arg for keyword in keywords if keyword.arg not in allowed]:
        given = ", ".join(allowed) or "none"
        raise UserError(f"unknown parameter {wrong[0]!r} of {name} in {spec!r}; {name} takes: {given}")
    try:
        arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}
    except (ValueError, TypeError) as error:
        raise _bad(spec, f"gives {name} a value that is no number or list") from error
    if class_weights and LOSSES[name].per_class:
        arguments.setdefault(LOSSES[name].per_class, class_weights)
    return LOSSES[name](**arguments)


def _bad(spec, why):
    return UserError(
        f"the loss spec {spec!r} {why}; write names joined by '+', with factors and parameters by name, such as"
        f" '0.5*bce + dice' or 'wbce(weight=2.5)'; names: {', '.join(LOSSES)}"
    )
