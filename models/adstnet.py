"""AdSTNet: adaptive scale thresholding (doi 10.3390/app15179259), a head around any network that gives one logit map.

From the backbone's map x the head predicts the lesion's core, adds the Laplacian residual of x as edge map, and merges
both into a binary map. `labels_from_mask` makes the labels of core and edge from a mask.
"""

import cv2
import keras
import numpy as np

from models.attention import LaplacianResidual, SpatialReconstruction, channel_reconstruction, conv_glu
from models.layers import NORM
from models.training_step import TrainingModel, cross_entropy, descend, float32, fractions
from utils.errors import UserError

SHRINK, MILD_SHRINK = 0.4, 0.8  # how far the core shrinks: by A(1 − s²)/L pixels
EDGE_LOW, EDGE_HIGH = 0.3, 0.7  # the edge label far from the contour, and on it


# === Functional model with a training step of its own ===
@keras.saving.register_keras_serializable(package="lesion")
class AdSTNet(TrainingModel):
    """The backbone with the head of 3,930 parameters around it: image -> dict of float32 logits (B, H, W, 1): `core`,
    `edge`, `binary` and `logits`, the backbone's own map.

    It trains, by `fit` or any other caller of `train_step`, on images and what `labels` makes of their masks. The loss
    is the published sum of the cross-entropies of core, edge and binary map, and, so that the backbone can be used
    without the head, the compiled loss, one of loss.py, of the backbone's own map. All four are logged, each before it
    is weighted. The compiled metrics are those of the backbone's own map.

    Args:
        backbone: functional keras.Model, image -> logits (B, H, W, 1); its layers become layers of the result.
        core_weight, edge_weight, binary_weight, backbone_weight: floats, factors of the four terms.
        width: int, channels inside the head, a multiple of 8.
        name: str, the model's name.
    """

    def __init__(
        self,
        backbone,
        core_weight=1.0,
        edge_weight=1.0,
        binary_weight=1.0,
        backbone_weight=1.0,
        width=16,
        name="adstnet",
    ):
        x = backbone.output
        if isinstance(x, (dict, list)) or x.shape[1:] != (*backbone.input.shape[1:3], 1):
            received = x if isinstance(x, (dict, list)) else x.shape
            raise UserError(
                f"{name}: the backbone must give one logit map (B, H, W, 1), {backbone.name} gives {received}"
            )
        if isinstance(backbone, TrainingModel):
            raise UserError(f"{name}: the backbone, {backbone.name}, has a training step of its own; name a plain one")
        core = SpatialReconstruction(name="core_sru")(widen(x, width, "core"))
        core = narrow(channel_reconstruction(core, "core_cru"), "core")
        edge = LaplacianResidual(dtype="float32", name="edge")(x)
        both = keras.layers.Concatenate(name="binary_concat")([core, edge])  # (B, H, W, 2)
        binary = narrow(conv_glu(widen(both, width, "binary"), "binary_glu"), "binary")
        maps = {"core": core, "edge": edge, "binary": binary, "logits": x}
        means = [keras.metrics.Mean(f"{term}_loss") for term in ("core", "edge", "binary", "backbone")]
        super().__init__(backbone.input, maps, means, name)
        self.backbone_name = backbone.name
        self.width = width
        self.core_weight = core_weight
        self.edge_weight = edge_weight
        self.binary_weight = binary_weight
        self.backbone_weight = backbone_weight

    def deploy(self):
        """The backbone alone, sharing the layers: image -> float32 logits (B, H, W, 1)."""
        return keras.Model(self.input, self.output["logits"], name=self.backbone_name)

    def labels(self, masks):
        """What the training step wants, made of masks float32 {0, 1} (B, H, W, 1) by tf.data on the host.

        Returns: dict of float32 (B, H, W, 1): `mask`, `core` {0, 1} and `edge` [0.3, 0.7].
        """
        import tensorflow as tf

        core, edge = tf.numpy_function(labels_of_batch, [masks > 0.5], [tf.float32, tf.float32])
        return {"mask": masks, "core": tf.ensure_shape(core, masks.shape), "edge": tf.ensure_shape(edge, masks.shape)}

    def terms(self, labels, maps, weights):
        """The four terms and their weighted sum, `loss`: a dictionary of (B,). weights: (B,), or None."""
        terms = {f"{name}_loss": cross_entropy(labels[name], maps[name]) for name in ("core", "edge")}
        terms["binary_loss"] = cross_entropy(labels["mask"], maps["binary"])
        terms["backbone_loss"] = self.loss.call(labels["mask"], maps["logits"], weights)
        factors = self.core_weight, self.edge_weight, self.binary_weight, self.backbone_weight
        terms["loss"] = sum(factor * term for factor, term in zip(factors, list(terms.values()), strict=True))
        return terms

    def train_step(self, data, forward=None):
        import tensorflow as tf

        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            maps = (forward or self.forward)(images, weights)
            terms = self.terms(labels, maps, weights)
            loss = self.optimizer.scale_loss(tf.reduce_sum(fractions(images, weights) * terms["loss"]))
        descend(self.optimizer, tape, loss, self.trainable_variables)
        return self.log(terms, labels["mask"], maps["logits"], weights)

    def test_step(self, data):
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        maps = float32(self(images, training=False))
        return self.log(self.terms(labels, maps, weights), labels["mask"], maps["logits"], weights)

    def get_config(self):
        numbers = ("core_weight", "edge_weight", "binary_weight", "backbone_weight", "width", "name")
        config = {key: getattr(self, key) for key in numbers}
        return {"backbone": keras.saving.serialize_keras_object(self.deploy()), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**{**config, "backbone": keras.saving.deserialize_keras_object(config["backbone"], custom_objects)})


def widen(x, width, name):
    """C3 BN ReLU: (B, H, W, C) -> (B, H, W, width)."""
    x = keras.layers.Conv2D(width, 3, padding="same", name=f"{name}_conv1")(x)
    x = keras.layers.BatchNormalization(**NORM, name=f"{name}_norm1")(x)
    return keras.layers.ReLU(name=f"{name}_relu1")(x)


def narrow(x, name):
    """BN ReLU C3(1) to a float32 map: (B, H, W, C) -> (B, H, W, 1)."""
    x = keras.layers.BatchNormalization(**NORM, name=f"{name}_norm2")(x)
    x = keras.layers.ReLU(name=f"{name}_relu2")(x)
    return keras.layers.Conv2D(1, 3, padding="same", dtype="float32", name=f"{name}_conv2")(x)


# === Labels ===
def labels_from_mask(mask):
    """Labels of the core and the edge map, from the mask's longest outer contour, by distance transforms.

    With A and L the area and length of the contour in pixels, D = A(1 − 0.4²)/L. Core: the filled contour without the
    pixels closer than D to the contour; where that leaves not exactly one piece, D is A(1 − 0.8²)/L. Edge: 0.7 on
    the contour, falling to 0.3 at distance D on both sides. Where D < 1 the core is the whole mask and the edge 0.7 on
    the contour's pixels alone. An empty mask gives core 0 and edge 0.3 everywhere. The label of the binary map is the
    mask itself.

    Args:
        mask: uint8 or bool (H, W), values {0, 1}.

    Returns: core uint8 {0, 1} (H, W), edge float32 in [0.3, 0.7] (H, W).

    Raises: UserError for another shape or other values.
    """
    mask = np.ascontiguousarray(mask)
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.bool_) or (mask.size and mask.max() > 1):
        raise UserError(f"expected a mask (H, W) of uint8 0 and 1, got {mask.dtype} {mask.shape} up to {mask.max()}")
    mask = mask.astype(np.uint8, copy=False)
    edge = np.full(mask.shape, EDGE_LOW, np.float32)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.zeros_like(mask), edge

    # 1. how far to shrink, from the contour as a polygon
    contour = max(contours, key=lambda c: cv2.arcLength(c, True))
    length = cv2.arcLength(contour, True)
    reach = cv2.contourArea(contour) / length if length else 0.0  # pixels
    distance = reach * (1 - SHRINK**2)
    line = cv2.drawContours(np.ones_like(mask), [contour], -1, 0, 1)  # 0 on the contour
    if distance < 1:
        edge[line == 0] = EDGE_HIGH
        return mask.copy(), edge

    # 2. pixels' distances to the contour, and the labels
    away = cv2.distanceTransform(line, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)  # float32 (H, W), pixels
    inside = cv2.drawContours(np.zeros_like(mask), [contour], -1, 1, cv2.FILLED)
    core = inside & (away >= distance - 0.5)
    if cv2.connectedComponents(core)[0] != 2:  # the background is one of them
        core = inside & (away >= reach * (1 - MILD_SHRINK**2) - 0.5)
    edge += (EDGE_HIGH - EDGE_LOW) * (1 - np.minimum(away / np.float32(distance), 1))
    return core.astype(np.uint8), edge


def labels_of_batch(masks):
    """Core and edge labels of masks {0, 1} (B, H, W, 1): two float32 arrays of that shape."""
    core, edge = np.empty(masks.shape, np.float32), np.empty(masks.shape, np.float32)
    for number, mask in enumerate(masks[..., 0]):
        core[number, ..., 0], edge[number, ..., 0] = labels_from_mask(mask)
    return core, edge
