"""Losses: cases worked out by hand, saturated logits, empty and full masks, half precision, two replicas, saving."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import loss

SPECS = [
    *loss.LOSSES,
    "bce + dice",
    "0.5*bce + dice",
    "wbce(weight=[1, 8])",
    "batch_dice(class_weights=[1, 8.07])",
    "structure(window=3)",
]
P = 1 / (1 + math.exp(-2.0))  # the probability of a logit of 2
L = -math.log(P)  # -log p, and L + 2 = -log(1 - p)

# One image of two pixels, truth 1 and 0, logits 2 and 2: overlap P, predicted 2P, true 1.
BY_HAND = {
    "bce": (L + L + 2) / 2,
    "wbce": (2.5 * L + L + 2) / 2,
    "wbce(weight=4)": (4 * L + L + 2) / 2,
    "dice": 1 - 2 * P / (2 * P + 1),
    "jaccard": 1 - P / (P + 1),
    "batch_dice": 1 - 2 * P / (2 * P + 1),
    "batch_jaccard": 1 - P / (P + 1),
    "tversky": 1 - P / (P + 0.3 * P + 0.7 * (1 - P)),
    "tversky(alpha=0.5, beta=0.5)": 1 - 2 * P / (2 * P + 1),
    "focal_tversky": (1 - P / (P + 0.3 * P + 0.7 * (1 - P))) ** 0.75,
    "focal": (0.25 * (1 - P) ** 2 * L + 0.75 * P**2 * (L + 2)) / 2,
    "l1": (1 - P + P) / 2,
    "lovasz": 3 * 0.5,  # errors max(0, 1 - 2) and 1 + 2; the false positive alone lowers Jaccard to 1/2
    "0.5*bce + dice": (L + L + 2) / 4 + 1 - 2 * P / (2 * P + 1),
    "bce + dice": (L + L + 2) / 2 + 1 - 2 * P / (2 * P + 1),
    "2*(bce + dice)": (L + L + 2) + 2 - 4 * P / (2 * P + 1),
    # Each pixel's neighborhood holds half lesion: weights 1 + 5/2 for both, which cancel but for the 1 of Jaccard.
    "structure": (L + L + 2) / 2 + 1 - (3.5 * P + 1) / (3.5 * (P + 1) + 1),
}


def batch(classes=2, images=4, seed=0):
    rng = np.random.default_rng(seed)
    masks = (rng.random((images, 6, 8, classes)) > 0.6).astype("float32")
    return masks, rng.normal(0, 2, masks.shape).astype("float32")


def gradient(spec, masks, logits):
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss.from_spec(spec)(masks, logits)
    return tape.gradient(value, logits).numpy()


@pytest.mark.parametrize("spec", BY_HAND)
def test_equals_the_value_worked_out_by_hand(spec):
    masks, logits = np.array([1.0, 0.0]).reshape(1, 1, 2, 1), np.full((1, 1, 2, 1), 2.0)
    values = loss.from_spec(spec).call(masks, logits).numpy()
    assert values.shape == (1,)
    assert values.dtype == np.float32
    assert values[0] == pytest.approx(BY_HAND[spec], abs=1e-6)


def test_one_value_per_image_and_their_mean():
    masks, logits = np.array([1.0, 0.0]).reshape(2, 1, 1, 1), np.zeros((2, 1, 1, 1))  # p = 1/2
    assert loss.from_spec("wbce").call(masks, logits).numpy() == pytest.approx(
        [2.5 * math.log(2), math.log(2)], abs=1e-6
    )
    assert loss.from_spec("wbce")(masks, logits).numpy() == pytest.approx(1.75 * math.log(2), abs=1e-6)
    assert loss.from_spec("dice").call(masks, logits).numpy() == pytest.approx([1 / 3, 1 - 2e-6], abs=1e-6)
    assert loss.from_spec("batch_dice").call(masks, logits).numpy() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert loss.from_spec("dice")(masks, logits, sample_weight=[0.0, 1.0]).numpy() == pytest.approx(0.5, abs=2e-6)


def test_weights_of_classes():
    masks = np.array([[1.0, 1.0]]).reshape(1, 1, 1, 2)
    logits = np.array([2.0, 0.0]).reshape(1, 1, 1, 2)
    parts = np.array([1 - 2 * P / (P + 1), 1 - 1 / 1.5])
    for name in ("dice", "batch_dice"):
        value = loss.from_spec(f"{name}(class_weights=[1, 3])").call(masks, logits).numpy()
        assert value == pytest.approx(parts @ [0.25, 0.75], abs=1e-6)
    value = loss.from_spec("wbce(weight=[1, 8])").call(masks, logits).numpy()
    assert value == pytest.approx((L + 8 * math.log(2)) / 2, abs=1e-6)


def test_class_weights_are_for_losses_that_take_some_and_name_none():
    made = loss.from_spec("bce + wbce + batch_dice + 2*jaccard(class_weights=[1, 1]) + boundary", [1.0, 8.0])
    assert [getattr(part, part.per_class or "name") for part in made.losses] == [
        *("bce", [1.0, 8.0], [1.0, 8.0], [1.0, 1.0], "structure"),
    ]
    assert loss.from_spec("wbce").weight == 2.5 and loss.from_spec("dice").class_weights is None
    with pytest.raises(ValueError, match=r"class_weights: no loss of 'bce \+ l1' takes any"):
        loss.from_spec("bce + l1", [1.0, 8.0])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("right", [True, False])
def test_saturated_logits(spec, right):
    masks, _ = batch()
    logits = np.where((masks == 1) == right, 50.0, -50.0).astype("float32")
    value, slope = loss.from_spec(spec).call(masks, logits).numpy(), gradient(spec, masks, logits)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert (value < 1e-4).all() if right else (value > 0.7).all()
    if right:
        assert np.abs(slope).max() < 1e-6
    elif "bce" in spec or spec in ("lovasz", "structure"):
        assert (slope * (2 * masks - 1) <= 0).all()
        assert np.abs(slope).max() > 0.001


def test_gradient_of_cross_entropy_is_the_error():
    masks, _ = batch()
    for scale in (0.0, 3.0, 50.0, -50.0):
        logits = (scale * (2 * masks - 1)).astype("float32")
        errors = 1 / (1 + np.exp(-logits.astype(float))) - masks
        assert gradient("bce", masks, logits) == pytest.approx(errors / masks.size, abs=1e-8)
        weighted = np.where(masks == 1, 2.5, 1) * errors / masks.size
        assert gradient("wbce", masks, logits) == pytest.approx(weighted, abs=1e-8)


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_equals_finite_differences(spec):
    masks, logits = batch(images=2)
    slope = gradient(spec, masks, logits)
    rng = np.random.default_rng(1)
    for _ in range(3):
        step = rng.normal(size=logits.shape).astype("float32")
        ends = [float(loss.from_spec(spec)(masks, logits + sign * 1e-3 * step)) for sign in (1, -1)]
        assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(float((slope * step).sum()), rel=0.03, abs=2e-3)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks(spec, value):
    masks, logits = batch()
    masks[:] = value
    assert np.isfinite(loss.from_spec(spec).call(masks, logits).numpy()).all()
    assert np.isfinite(gradient(spec, masks, logits)).all()
    perfect = loss.from_spec(spec).call(masks, np.full_like(logits, 200 * value - 100)).numpy()
    assert perfect == pytest.approx(0, abs=1e-6)  # 0/0 counts as 1


@pytest.mark.parametrize("spec", SPECS)
def test_half_precision_input_is_computed_in_single(spec):
    masks, logits = batch()
    logits = logits.astype("float16")
    value = loss.from_spec(spec).call(masks.astype("uint8"), logits)
    assert value.dtype == "float32"
    assert value.numpy() == pytest.approx(loss.from_spec(spec).call(masks, logits.astype("float32")).numpy(), abs=1e-6)


def test_lovasz_equals_the_definition():
    masks, logits = batch(classes=1, images=3)
    for mask, logit, value in zip(masks, logits, loss.from_spec("lovasz").call(masks, logits).numpy(), strict=True):
        true, signs = mask.ravel() == 1, 2 * mask.ravel() - 1
        errors = np.maximum(1 - logit.ravel() * signs, 0)
        expected, last = 0.0, 0.0
        wrong = np.zeros(true.size, bool)
        for pixel in np.argsort(-(1 - logit.ravel() * signs)):
            wrong[pixel] = True
            now = 1 - (true & ~wrong).sum() / (true | wrong).sum()
            expected, last = expected + errors[pixel] * (now - last), now
        assert value == pytest.approx(expected, abs=1e-5)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2, 2\) and \(1, 2, 2, 1\)"):
        loss.from_spec("dice").call(np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 1)))
    with pytest.raises(ValueError, match=r"\(1, 2, 2, 1\) and \(1, 2, 2, 3\)"):
        loss.from_spec("bce").call(np.zeros((1, 2, 2, 1)), np.zeros((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="class_weights holds 3 values, but there are 2 classes"):
        loss.from_spec("batch_dice(class_weights=[1, 2, 3])").call(np.zeros((1, 2, 2, 2)), np.zeros((1, 2, 2, 2)))


# === Specs and saving ===


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dicee", "unknown loss 'dicee'.*wbce, bce, dice"),
        ("wbce(wieght=2)", "unknown parameter 'wieght'.*wbce takes: weight"),
        ("bce(weight=2)", "bce takes: none"),
        ("wbce(2)", r"holds 'wbce\(2\)'"),
        ("bce - dice", "holds 'bce - dice'"),
        ("bce +", "is not readable"),
        ("", "is not readable"),
        ("0*bce", "a factor must be a positive number.*got 0"),
        ("wbce(weight=-1)", "weight must be a positive number.*got -1"),
        ("wbce(weight=True)", "weight must be a positive number.*got True"),
        ("wbce(weight=[])", "weight must be a positive number"),
        ("wbce(weight=open)", "no number or list"),
        ("wbce(weight={[]: 1})", "no number or list"),
        ("tversky(alpha=[1, 2])", r"alpha must be a positive number, got \[1, 2\]"),
        ("1e999*bce", "a factor must be a positive number, got inf"),
        ("wbce(**{})", "unknown parameter None"),
        (None, "holds 'None'"),
        ("focal(alpha=2)", "alpha must lie between 0 and 1"),
        ("structure(window=2.5)", "window must be an odd whole number"),
        ("(" * 5000 + "bce" + ")" * 5000, "is longer than 1,000 letters"),
        ("bce" + "+bce" * 3000, "is longer than 1,000 letters"),
        ("(" * 400 + "bce" + ")" * 400, "is not readable"),
        ("-" * 990 + "bce", "is not readable|holds"),
        ("9" * 900 + "*bce", "is not readable|positive number"),
        ("__import__('os')", "unknown loss|holds"),
    ],
)
def test_bad_specs_say_what_is_right(spec, message):
    with pytest.raises(ValueError, match=message):
        loss.from_spec(spec)


@pytest.mark.parametrize("spec", SPECS)
def test_serialization_keeps_the_loss(spec):
    masks, logits = batch()
    made = loss.from_spec(spec)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()
    assert again.call(masks, logits).numpy() == pytest.approx(made.call(masks, logits).numpy(), abs=0)


def test_every_parameter_is_saved():
    assert loss.from_spec("tversky(alpha=0.4, beta=0.6, class_weights=[1, 2], epsilon=1)").get_config() == {
        "name": "tversky",
        "reduction": "sum_over_batch_size",
        "alpha": 0.4,
        "beta": 0.6,
        "class_weights": [1.0, 2.0],
        "epsilon": 1.0,
    }


def test_a_compiled_model_loads_without_custom_objects(tmp_path):
    model = keras.Sequential([keras.layers.Input((4, 4, 1)), keras.layers.Conv2D(1, 1)])
    model.compile("sgd", loss.from_spec("0.5*bce + batch_dice(epsilon=1)"))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").loss
    assert again.weights == [0.5, 1.0]
    assert [type(part) for part in again.losses] == [loss.BCE, loss.BatchDice]
    assert again.losses[1].epsilon == 1.0


# === Two replicas ===


def two_replicas():
    """Two logical CPU devices; sums go through one of them, as two strategies with collectives disturb one another."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())


def slopes(masks, logits, scale):
    """The gradient of each spec's loss with respect to a scale and an offset of the logits, (specs, 2)."""
    rows = []
    for spec in SPECS:
        with tf.GradientTape() as tape:
            value = loss.from_spec(spec)(masks, logits * scale[0] + scale[1])
        rows.append(tf.stack(tape.gradient(value, scale)))
    return tf.stack(rows)


def test_two_replicas_give_the_gradient_of_one_device():
    masks, logits = batch()
    masks[:2, ..., 1] = 0  # so that the halves differ and pooling them apart would show
    one = slopes(masks, logits, [tf.Variable(1.0), tf.Variable(0.0)]).numpy()
    strategy = two_replicas()
    with strategy.scope():
        scale = [tf.Variable(1.0), tf.Variable(0.0)]

    def half(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(array, 2)[context.replica_id_in_sync_group])
        )

    run = tf.function(lambda *data: strategy.run(lambda m, z: slopes(m, z, scale), args=data))
    two = strategy.reduce("sum", run(half(masks), half(logits)), axis=None).numpy()  # an optimizer sums, too
    assert np.abs(one).min() > 1e-6
    assert two == pytest.approx(one, rel=1e-4, abs=1e-6)


def test_fit_on_two_replicas_takes_the_step_of_one_device():
    masks, inputs = batch(classes=2)
    results = []
    for strategy in (tf.distribute.OneDeviceStrategy("CPU:0"), two_replicas()):
        with strategy.scope():
            start = keras.initializers.RandomNormal(seed=3)
            layer = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer=start)
            model = keras.Sequential([keras.layers.Input((6, 8, 2)), layer])
            model.compile(keras.optimizers.SGD(1.0), loss.from_spec("wbce + batch_dice"))
        history = model.fit(inputs, masks, batch_size=4, epochs=2, shuffle=False, verbose=0)
        results.append([*model.get_weights(), history.history["loss"]])
    for one, two in zip(*results, strict=True):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("spec", ["bce", "wbce", "focal"])
def test_the_pixel_loss_of_a_blend_is_the_blend_of_the_losses(spec):
    first, logits = batch()
    second = 1.0 - first[::-1]
    build = loss.from_spec(spec)
    blended = np.asarray(build.call(0.3 * first + 0.7 * second, logits))
    np.testing.assert_allclose(
        blended, 0.3 * np.asarray(build.call(first, logits)) + 0.7 * np.asarray(build.call(second, logits)), rtol=1e-5
    )


@pytest.mark.parametrize("spec", ["dice", "jaccard", "batch_dice", "batch_jaccard", "tversky", "focal_tversky", "bce"])
def test_soft_masks_are_best_met_by_themselves(spec):
    soft = np.random.default_rng(0).uniform(0.05, 0.95, (2, 6, 6, 1)).astype("float32")
    build = loss.from_spec(spec)
    best, *worse = (
        np.asarray(build.call(soft, np.log(p / (1 - p)))) for p in (soft, soft * 0.9, (soft > 0.5) * 0.9 + 0.05)
    )
    assert spec == "bce" or np.abs(best).max() < 1e-5
    assert all((best < other).all() for other in worse)
