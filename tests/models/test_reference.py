"""Our networks on the weights and inputs of the reference: the outputs and parameter counts of the originals."""

import keras
import numpy as np
import pytest
from reference_weights import FOLDER, reference, relative_difference, set_weights

import model
from models import attention, jaal_net, torch_names


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


# === Networks whose reference output is not what ours gives, and parts of networks ===
def adstnet(shape):
    network = model.build("adstnet", shape)
    maps = [network.output[name] for name in ("core", "edge", "binary")]
    return keras.Model(network.input, keras.ops.concatenate(maps, axis=-1), name="adstnet")


def da_net(shape):
    network = model.build("da_net", (*shape[:2], 3), classes=3)
    return keras.Model(network.input, keras.ops.sigmoid(network.output), name="da_net")


def part(name, function):
    """A builder of a model of one part, whose function takes and gives a Keras tensor."""

    def build(shape):
        inputs = keras.Input(shape)
        return keras.Model(inputs, function(inputs), name=name)

    return build


def saca(x):
    return attention.channel_reconstruction(attention.SpatialReconstruction(name="sru")(x), "cru")


BUILDERS |= {
    "adstnet_adaptive_scale_unet16": adstnet,
    "adstnet_convglu16": part("conv_glu", lambda x: attention.conv_glu(x, "glu")),
    "adstnet_laplacian": part("laplacian", attention.LaplacianResidual()),
    "adstnet_saca16": part("saca", saca),
    "jaal_bottleblock_cbam": part("block", lambda x: jaal_net.attention_block(x, 16, "block")),
    "jaal_channel_attention16": part("channel", attention.ChannelAttention(name="channel")),
    "jaal_da_net": da_net,
    "jaal_double_conv": part("block", lambda x: jaal_net.split_conv(x, 32, "block")),
    "jaal_position_attention16": part("position", attention.PositionAttention(name="position")),
}
PART_RULES = {
    "block": [
        (r"^conv(\d)", r"block_conv\1"),
        (r"^bn(\d)", r"block_norm\1"),
        (r"^ca\.", "block_cbam_"),
        (r"^sa\.conv1", "block_cbam_spatial"),
        (r"^sa\.aspp\.atrous_block", "block_cbam_dilated"),
    ],
    "channel": [("^$", "channel")],
    "conv_glu": torch_names.CONV_GLU,
    "laplacian": [],
    "position": [("^$", "position"), (r"(\w+)_conv", r"position/\1")],
    "saca": torch_names.SACA,
}
UNUSED = "conv_1x1_output"  # tensors that an original holds and never uses


def trainable_count(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_weights)


@pytest.mark.parametrize("name", BUILDERS)
def test_network_computes_what_the_original_does(name, monkeypatch):
    monkeypatch.setattr(torch_names, "RULES", torch_names.RULES | PART_RULES)
    description, image, theirs = reference(name)
    unused = [tensor for tensor in description["tensors"] if UNUSED in tensor["name"]]
    description["tensors"] = [tensor for tensor in description["tensors"] if tensor not in unused]
    ours = BUILDERS[name](image.shape[1:])
    count = ours.count_params() if name == "as_net" else trainable_count(ours)  # the paper's count has BN's statistics
    assert count == description["parameters"] - sum(int(np.prod(tensor["shape"])) for tensor in unused)
    set_weights(ours, description)
    output = keras.ops.convert_to_numpy(ours(image, training=False))
    assert list(output.shape) == description["output_shape"]
    if name == "as_net":  # stored at every second row and column
        output = output[:, ::2, ::2]
    assert relative_difference(output, theirs) < 1e-5  # 3e-6 measured; the bar is 1e-4
    keras.backend.clear_session()


def test_every_reference_file_is_compared():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(BUILDERS)
