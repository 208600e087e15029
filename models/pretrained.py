"""ImageNet weights for encoders, from keras.applications."""

from pathlib import Path

from utils.errors import UserError


def pretrained(application, network, weights, **options):
    """Build an encoder of keras.applications, without its top, with the weights asked for.

    Args:
        application: such as keras.applications.VGG16.
        network: name of the network that it is for, said in errors.
        weights: "imagenet", "none" or a file of Keras weights of that encoder without its top.
        options: further arguments of `application`, such as `input_tensor`.

    Raises: FileNotFoundError; UserError if the file or the input's channels do not fit; ConnectionError if the
        ImageNet weights cannot be fetched.
    """
    title = application.__name__
    if weights in ("none", None):
        return application(include_top=False, weights=None, **options)
    if weights != "imagenet" and not Path(weights).is_file():
        raise FileNotFoundError(f"{network}: weights must be 'imagenet', 'none' or a file, and no file is at {weights}")
    try:
        return application(include_top=False, weights=weights, **options)
    except ValueError as error:
        raise UserError(f"{network}: the weights {weights!r} do not fit {title} on this input: {error}") from error
    except Exception as error:  # Keras raises the bare class when a download fails
        if weights != "imagenet":
            raise UserError(f"{network}: {weights} is damaged, or no file of Keras weights: {error}") from error
        raise ConnectionError(
            f"{network}: the ImageNet weights of {title} cannot be fetched ({error}); train from random weights with "
            "--weights none, or name a file of Keras weights (without top) with --weights FILE"
        ) from error
