"""Our networks on the weights and inputs of the reference: the outputs and parameter counts of the originals."""
import keras
import numpy as np
import pytest
from reference_weights import FOLDER, reference, relative_difference, set_weights

import model


def registered(name, **options):
    """A builder (input_shape) -> model of a network of the registry."""
    return lambda shape: model.build(name, shape, **options)


# reference -> builder; the model's name says which rules of models/originals.py place the weights
BUILDERS = {
    "as_net": registered("as_net", weights="none"),
    "adstnet_unet16": registered("unet16"),
    "ham10000_unet": registered("ham10000_unet"),
    "attributes_unet_transpose": registered("attributes_unet"),
    "attributes_unet_bilinear": registered("attributes_unet", upsample="bilinear"),
    "attributes_residual_unet_transpose": registered("attributes_residual_unet"),
    "attributes_residual_unet_bilinear": registered("attributes_residual_unet", upsample="bilinear"),
    "attributes_attention_unet_transpose": registered("attributes_attention_unet"),
    "attributes_attention_unet_bilinear": registered("attributes_attention_unet", upsample="bilinear"),
    "attributes_convnext_unet_transpose": registered("attributes_convnext_unet", weights="none"),
    "attributes_convnext_unet_bilinear": registered("attributes_convnext_unet", weights="none", upsample="bilinear"),
}


def trainable_count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_weights)


@pytest.mark.parametrize("name", BUILDERS)
def test_network_computes_what_the_original_does(name):
    description, image, theirs = reference(name)
    ours = BUILDERS[name](image.shape[1:])
    count = ours.count_params() if name == "as_net" else trainable_count(ours)  # the paper's count has BN's statistics
    assert count == description["parameters"]
    set_weights(ours, description)
    output = keras.ops.convert_to_numpy(ours(image, training=False))
    assert list(output.shape) == description["output_shape"]
    if name == "as_net":  # stored at every second row and column
        output = output[:, ::2, ::2]
    assert relative_difference(output, theirs) < 1e-5  # 3e-6 measured; the bar is 1e-4
    keras.backend.clear_session()


def test_every_reference_file_is_compared():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(BUILDERS)
