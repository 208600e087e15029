"""Our networks on the weights and inputs of the reference: the outputs and parameter counts of the originals."""
import keras
import numpy as np
import pytest
from reference_weights import FOLDER, reference, relative_difference, set_weights

import model

# reference -> network of the registry and its options
NETWORKS = {
    "as_net": ("as_net", {"weights": "none"}),
    "adstnet_unet16": ("unet16", {}),
    "ham10000_unet": ("ham10000_unet", {}),
    "attributes_unet_transpose": ("attributes_unet", {}),
    "attributes_unet_bilinear": ("attributes_unet", {"upsample": "bilinear"}),
    "attributes_residual_unet_transpose": ("attributes_residual_unet", {}),
    "attributes_residual_unet_bilinear": ("attributes_residual_unet", {"upsample": "bilinear"}),
    "attributes_attention_unet_transpose": ("attributes_attention_unet", {}),
    "attributes_attention_unet_bilinear": ("attributes_attention_unet", {"upsample": "bilinear"}),
    "attributes_convnext_unet_transpose": ("attributes_convnext_unet", {"weights": "none"}),
    "attributes_convnext_unet_bilinear": ("attributes_convnext_unet", {"weights": "none", "upsample": "bilinear"}),
}


def trainable_count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_computes_what_the_original_does(name):
    network, options = NETWORKS[name]
    description, image, theirs = reference(name)
    ours = model.build(network, image.shape[1:], **options)
    count = ours.count_params() if name == "as_net" else trainable_count(ours)  # the paper's count has BN's statistics
    assert count == description["parameters"]
    set_weights(ours, description, network)
    output = keras.ops.convert_to_numpy(ours(image, training=False))
    assert list(output.shape) == description["output_shape"]
    if name == "as_net":  # stored at every second row and column
        output = output[:, ::2, ::2]
    assert relative_difference(output, theirs) < 1e-5  # 3e-6 measured; the bar is 1e-4
    keras.backend.clear_session()


def test_every_reference_file_is_compared():
    assert {path.stem for path in FOLDER.glob("*.json")} <= set(NETWORKS)
