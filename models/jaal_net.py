"""JAAL-Net: joint attention and adversarial learning (doi 10.1088/1361-6560/acc630). LF-Net predicts masks, DA-Net
tells predicted masks from true ones.

LF-Net sees the image and its Canny edges in **one** tensor of C + 1 channels: the image, min-max normalized to
[−1, 1], then the 0/1 edge map of imaging/normalization.py. Everywhere `input_shape` counts the channels of the image
alone, so that (128, 128, 3) means the same for every network: LF-Net's own input is then (128, 128, 4), and that of
DA-Net, which sees the image and a mask of `classes` channels, (128, 128, 3 + classes).

Left out of the public code: what never touches its output (the 1×1 convolutions of 513 and 12 values) and the dropout
of rate 1 in its dense blocks. Its tanh is the same function as our sigmoid of the logit: (tanh z + 1)/2 = σ(2z).
"""

import math

import keras

from models.attention import ChannelAttention, PositionAttention, dilated_cbam, gated_contour
from models.layers import NORM, check_size, conv_norm_relu, enlarge, logits
from models.training_step import Below, TrainingModel, cross_entropy, descend, float32, fractions, per_image


# === Blocks ===
def split_conv(x, filters, name):
    """DDSConv: [C3 BN ReLU](x) + [C1 BN ReLU](x), convolutions with bias: (B, H, W, C) -> (B, H, W, filters)."""
    wide = conv_norm_relu(x, filters, name, 1, bias=True)
    return keras.layers.Add(name=f"{name}_add")([wide, point_norm_relu(x, filters, name, 2)])


def point_norm_relu(x, filters, name, index):
    """1×1 convolution with bias, batch normalization, ReLU: (B, H, W, C) -> (B, H, W, filters)."""
    x = keras.layers.Conv2D(filters, 1, name=f"{name}_conv{index}")(x)
    x = keras.layers.BatchNormalization(**NORM, name=f"{name}_norm{index}")(x)
    return keras.layers.ReLU(name=f"{name}_relu{index}")(x)


def norm_relu_conv(x, filters, kernel, name, index=""):
    """Batch normalization, ReLU, convolution without bias: (B, H, W, C) -> (B, H, W, filters)."""
    x = keras.layers.BatchNormalization(**NORM, name=f"{name}_norm{index}")(x)
    x = keras.layers.ReLU(name=f"{name}_relu{index}")(x)
    return keras.layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=f"{name}_conv{index}")(x)


def dense_block(x, name):
    """DenseNet's layer, as many new channels as there were: (B, H, W, C) -> (B, H, W, 2C)."""
    channels = x.shape[-1]
    new = norm_relu_conv(x, channels, 1, name, 1)
    return keras.layers.Concatenate(name=f"{name}_concat")([x, norm_relu_conv(new, channels, 3, name, 2)])


def transition(x, name):
    """DenseNet's transition: (B, H, W, C) -> (B, H/2, W/2, C)."""
    return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(norm_relu_conv(x, x.shape[-1], 1, name))


def attention_block(x, filters, name):
    """A decoder level: residual block with channel and spatial attention, (B, H, W, C) -> (B, H, W, filters)."""
    y = conv_norm_relu(x, filters, name, 1)
    y = conv_norm_relu(y, filters, name, 2, bias=True)
    y = keras.layers.Add(name=f"{name}_add")([y, point_norm_relu(x, filters, name, 3)])
    return dilated_cbam(y, f"{name}_cbam")


def basic_block(x, name):
    """ResNet's block without a change of width: ReLU(x + [C3 BN ReLU C3 BN](x)), (B, H, W, C) -> same."""
    y = conv_norm_relu(x, x.shape[-1], name, 1)
    y = conv_norm_relu(y, x.shape[-1], name, 2, relu=False)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, y]))


# === Functional models ===
def lf_net(input_shape=(128, 128, 3), classes=1, width=32, name="lf_net"):
    """LF-Net, the generator: image and edge map (B, H, W, C + 1) -> logits float32 (B, H, W, classes).

    11,558,215 parameters for one class and width 32.

    Args:
        input_shape: (H, W, C) of the image; H and W multiples of 16. The model's input has one channel more, the edges.
        classes: int, channels of the output.
        width: int, channels of the first level; doubled at each of the four levels below.
        name: str, the model's name.
    """
    height, columns, channels = check_size(input_shape, 16, name)
    inputs = keras.Input((height, columns, channels + 1), name="image_and_edges")
    image, edges = inputs[..., :channels], inputs[..., channels:]  # (B, H, W, C), (B, H, W, 1)

    # 1. encoder
    skip1 = split_conv(image, width, "encoder1")  # (B, H, W, w)
    x = keras.layers.AveragePooling2D(2, name="pool1")(skip1)
    skip2 = split_conv(x, 2 * width, "encoder2")  # (B, H/2, W/2, 2w)
    x = keras.layers.AveragePooling2D(2, name="pool2")(skip2)
    skip3 = dense_block(x, "dense3")  # (B, H/4, W/4, 4w)
    skip4 = dense_block(transition(skip3, "transition3"), "dense4")  # (B, H/8, W/8, 8w)
    bottleneck = split_conv(transition(skip4, "transition4"), 16 * width, "encoder5")  # (B, H/16, W/16, 16w)

    # 2. decoder, and beside it the contour stream, gated by what the decoder sees
    x = contour = bottleneck
    for level, skip in ((4, skip4), (3, skip3), (2, skip2), (1, skip1)):
        filters = width * 2 ** (level - 1)
        x = enlarge(x, filters, f"up{level}", "transpose")  # (B, H/2^(level-1), …, filters)
        x = keras.layers.Concatenate(name=f"concat{level}")([x, skip])
        x = attention_block(x, filters, f"decoder{level}")
        gate = keras.layers.Conv2D(1, 1, name=f"gate{level}_map")(x)  # (B, …, 1)
        contour = basic_block(contour, f"contour{level}")
        contour = enlarge(contour, filters, f"contour{level}_up", "bilinear")
        contour = keras.layers.Conv2D(filters, 1, name=f"contour{level}_reduce")(contour)  # (B, …, filters)
        contour = gated_contour(contour, gate, filters if level > 1 else 1, f"gate{level}")

    # 3. head
    x = keras.layers.Concatenate(name="concat_head")([contour, edges, x])  # (B, H, W, w + 2)
    return keras.Model(inputs, logits(x, classes), name=name)


def da_net(input_shape=(128, 128, 3), classes=1, width=64, name="da_net"):
    """DA-Net, the discriminator: image and mask (B, H, W, C + classes) -> float32 logits (B, H/4, W/4, 1).

    σ(logit) is the probability that the mask is a true one; image and mask are both on the [−1, 1] scale. 77,315
    parameters for an RGB image, one class and width 64. The memory of its position attention grows with (H·W)².

    Args:
        input_shape: (H, W, C) of the image; H and W multiples of 4. The model's input has the mask's channels too.
        classes: int, channels of the mask.
        width: int, channels inside.
        name: str, the model's name.
    """
    height, columns, channels = check_size(input_shape, 4, name)
    inputs = keras.Input((height, columns, channels + classes), name="image_and_mask")
    x = keras.layers.Conv2D(width, 3, padding="same", name="conv_input")(inputs)
    x = keras.layers.Conv2D(width, 4, strides=2, padding="same", name="conv1")(x)  # (B, H/2, W/2, w)
    last = keras.layers.Conv2D(1, 4, strides=2, padding="same", name="conv2")  # one layer, both branches
    branches = PositionAttention(name="position")(x), ChannelAttention(name="channel")(x)
    x = keras.layers.Add(name="add")([last(branch) for branch in branches])  # (B, H/4, W/4, 1)
    x = keras.layers.LeakyReLU(negative_slope=0.2, dtype="float32", name="head")(x)
    return keras.Model(inputs, x, name=name)


# === Training step ===
@keras.saving.register_keras_serializable(package="lesion")
class JAALNet(TrainingModel):
    """The generator, trained against the discriminator: image and edges (B, H, W, C + 1) -> logits (B, H, W, classes).

    As a Keras model it is the generator with one more attribute, the discriminator, whose weights are among its own.
    The discriminator's optimizer is made after the pattern of the compiled one, and saved and loaded with it.

    A step, masks m and predictions G = tanh(logit / 2) = 2σ(logit) − 1 on the [−1, 1] scale:
    1. D: half the cross-entropy of D(image, m) against 1 plus that of D(image, G), without gradient to G, against 0.
    2. G: cross-entropy of D(image, G), D as just updated, against 1 + `l1_weight`·|G − m| + `epe_weight`·EPE, EPE the
       mean distance √3·|G − m| over the original's three equal channels.
    The public code's third discriminator step, on (mask, G) with gradients left over, is a slip and left out. The
    compiled loss has no part in this; it is that of the deployed network.

    Logged, beside the generator's `loss` and the compiled metrics: `discriminator_loss`, `d_real` and `d_fake` (D's
    mean probability that true and predicted masks are true), `adversarial`, `l1`, `epe` (before they are weighted), and
    two flags, 0 or 1 over the epoch: `discriminator_wins` (its loss is below `win_bound`; chance is 0.69) and
    `generator_collapsed` (the rarer class has less than a hundredth of the pixels it has in the masks).

    Args:
        generator, discriminator: functional keras.Model, as `lf_net` and `da_net` build them.
        l1_weight, epe_weight: floats, factors of the generator's terms.
        win_bound: float, in nats.
        name: str, the model's name.
    """

    TERMS = ("discriminator_loss", "d_real", "d_fake", "adversarial", "l1", "epe")

    def __init__(self, generator, discriminator, l1_weight=100.0, epe_weight=50.0, win_bound=0.1, name="jaal_net"):
        means = [keras.metrics.Mean(term) for term in self.TERMS]
        means += [Below("discriminator_wins", win_bound), Below("generator_collapsed", 0.0)]
        super().__init__(generator.input, generator.output, means, name)
        self.discriminator = discriminator
        self.generator_name = generator.name
        self.l1_weight = l1_weight
        self.epe_weight = epe_weight
        self.win_bound = win_bound

    def deploy(self):
        """The generator alone, sharing the layers: image and edges (B, H, W, C + 1) -> logits (B, H, W, classes)."""
        return keras.Model(self.input, self.output, name=self.generator_name)

    @property
    def generator_variables(self):
        """The generator's trainable weights."""
        return [variable for layer in self.layers for variable in layer.trainable_variables]

    @property
    def weights(self):
        """Both networks' weights: Keras 3.12 leaves out those of a model that is an attribute, the newest does not."""
        return unique([*super().weights, *self.discriminator.weights])

    @property
    def variables(self):
        return unique([*super().variables, *self.discriminator.variables])

    @property
    def optimizers(self):
        """The generator's optimizer and the discriminator's."""
        return [self.optimizer, self.discriminator_optimizer]

    def compile(self, optimizer="adam", loss=None, weighted_metrics=None, **options):
        """As of every keras.Model; `optimizer` is the pattern of both, its schedule and loss scaling included."""
        super().compile(optimizer, loss, weighted_metrics, **options)
        self.discriminator_optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        self.optimizer.build(self.generator_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def train_step(self, data, forward=None):
        import tensorflow as tf

        images, masks, weights = keras.utils.unpack_x_y_sample_weight(data)
        of_each = fractions(images, weights)
        optimizer = self.discriminator_optimizer
        pairs = self.pairs(images, masks)
        with tf.GradientTape() as tape:
            logits = (forward or self.forward)(images, weights)
            with tape.stop_recording():
                with tf.GradientTape() as discriminator_tape:
                    terms = self.discriminate(*pairs(tf.stop_gradient(logits)))
                    loss = optimizer.scale_loss(tf.reduce_sum(of_each * terms["discriminator_loss"]))
                descend(optimizer, discriminator_tape, loss, self.discriminator.trainable_variables)
            terms |= self.generate(*pairs(logits))
            loss = self.optimizer.scale_loss(tf.reduce_sum(of_each * terms["loss"]))
        descend(self.optimizer, tape, loss, self.generator_variables)
        return self.log_all(terms, masks, logits, weights)

    def test_step(self, data):
        images, masks, weights = keras.utils.unpack_x_y_sample_weight(data)
        logits = float32(self(images, training=False))
        real, fake = self.pairs(images, masks)(logits)
        return self.log_all(self.discriminate(real, fake) | self.generate(real, fake), masks, logits, weights)

    def pairs(self, images, masks):
        """A function from logits to the discriminator's inputs, real and fake: both (B, H, W, C + classes)."""
        pixels = images[..., :-1]  # without the edges
        real = keras.ops.concatenate([pixels, 2 * masks - 1], axis=-1)
        return lambda logits: (real, keras.ops.concatenate([pixels, keras.ops.tanh(logits / 2)], axis=-1))

    def discriminate(self, real, fake):
        """The discriminator's loss and its probabilities that real and fake masks are true, each (B,)."""
        on_real, on_fake = self.verdict(real), self.verdict(fake)
        loss = (cross_entropy(1.0, on_real) + cross_entropy(0.0, on_fake)) / 2
        d_real, d_fake = (per_image(keras.ops.sigmoid(logits)) for logits in (on_real, on_fake))
        return {"discriminator_loss": loss, "d_real": d_real, "d_fake": d_fake}

    def generate(self, real, fake):
        """The generator's terms and their weighted sum, `loss`, each (B,)."""
        adversarial = cross_entropy(1.0, self.verdict(fake))
        l1 = per_image(keras.ops.abs(fake - real)[..., -self.output_shape[-1] :])
        epe = math.sqrt(3) * l1
        loss = adversarial + self.l1_weight * l1 + self.epe_weight * epe
        return {"adversarial": adversarial, "l1": l1, "epe": epe, "loss": loss}

    def verdict(self, pairs):
        """The discriminator's logits, float32: (B, H, W, C + classes) -> (B, H/4, W/4, 1)."""
        return float32(self.discriminator(pairs, training=True))

    def log_all(self, terms, masks, logits, weights):
        """Update all metrics, the two flags included; returns {name: value so far}."""
        terms["discriminator_wins"] = terms["discriminator_loss"]
        terms["generator_collapsed"] = rarer(keras.ops.cast(logits > 0, "float32")) - 0.01 * rarer(masks)
        return self.log(terms, masks, logits, weights)

    def get_config(self):
        networks = {"generator": self.deploy(), "discriminator": self.discriminator}
        numbers = {key: getattr(self, key) for key in ("l1_weight", "epe_weight", "win_bound", "name")}
        return {key: keras.saving.serialize_keras_object(value) for key, value in networks.items()} | numbers

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = ("generator", "discriminator")
        networks = {key: keras.saving.deserialize_keras_object(config[key], custom_objects) for key in parts}
        return cls(**{**config, **networks})


def unique(variables):
    """The variables in their order, each once."""
    return list({id(variable): variable for variable in variables}.values())


def rarer(masks):
    """The fraction of pixels of the rarer of the values 0 and 1: (B, H, W, C) -> (B,)."""
    ones = per_image(masks)
    return keras.ops.minimum(ones, 1 - ones)


def jaal_net(
    input_shape=(128, 128, 3),
    classes=1,
    width=32,
    discriminator_width=64,
    l1_weight=100.0,
    epe_weight=50.0,
    win_bound=0.1,
    name="jaal_net",
):
    """LF-Net with DA-Net beside it, ready for adversarial training: see `JAALNet`.

    Args:
        input_shape: (H, W, C) of the image, as of `lf_net`.
        classes: int, channels of the masks.
        width, discriminator_width: ints, channels of the first level of `lf_net`, and inside `da_net`.
        l1_weight, epe_weight, win_bound: as of `JAALNet`.
        name: str, the model's name.
    """
    generator = lf_net(input_shape, classes, width)
    discriminator = da_net(input_shape, classes, discriminator_width)
    return JAALNet(generator, discriminator, l1_weight, epe_weight, win_bound, name)
