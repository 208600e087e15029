"""Several networks as one: its probability is the mean of theirs."""

import keras
from keras import ops


def ensemble(members: list[keras.Model], name: str = "ensemble") -> keras.Model:
    """One network of the layers of all, each member's named `memberN_`, with copies of their weights.

    Args:
        members: functional networks, (B, H, W, C) -> logits (B, H, W, classes), of the same shapes.
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes) of the mean probability.
    """
    image = keras.Input(members[0].input_shape[1:], name="image")
    logits = [_copy(member, image, f"member{number}") for number, member in enumerate(members, start=1)]
    return keras.Model(image, logit_of_mean(logits), name=name)


def _copy(member, image, prefix):
    """The logits of a copy of a member, of a symbolic image."""

    def renamed(operation):
        return type(operation).from_config({**operation.get_config(), "name": f"{prefix}_{operation.name}"})

    copy = keras.models.clone_model(member, [image] if isinstance(member.input, list) else image, renamed)
    copy.set_weights(member.get_weights())
    return copy.output


def logit_of_mean(logits: list):
    """log(p / (1 - p)) of the mean p of sigmoids, exact where they are next to 0 or 1: tensors of one shape -> it."""
    stacked = ops.stack([ops.cast(each, "float32") for each in logits])  # (members, B, H, W, classes)
    inside = ops.logsumexp(ops.log_sigmoid(stacked), axis=0)  # log p, and the log of their number
    outside = ops.logsumexp(ops.log_sigmoid(-stacked), axis=0)  # log(1 - p), and the same
    return inside - outside
