"""What a network costs for one image: operations and memory, counted from its TensorFlow graph."""

import math

import keras
import tensorflow as tf

# operations whose output may take the place of an input of the same size that is not read again
NOT_IN_PLACE = ("Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "MatMul", "BatchMatMulV2", "Einsum")
SOURCES = ("Const", "Placeholder", "ReadVariableOp", "VarHandleOp", "NoOp")  # weights and their handles


def parameters(network):
    """The number of trainable values."""
    return sum(math.prod(variable.shape) for variable in network.trainable_weights)


def operations(network):
    """The operations of one forward pass of one image in inference mode, in the order of execution."""
    specs = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in network.inputs]
    structure = keras.tree.pack_sequence_as(network.input, specs)
    graph = tf.function(lambda x: network(x, training=False)).get_concrete_function(structure).graph
    return graph.get_operations()


def flops(ops):
    """Operations of the convolutions and matrix products, 2 for each multiply-add; nothing else is counted."""
    return 2 * sum(multiply_adds(op) for op in ops)


def multiply_adds(op):
    """Multiply-adds of one graph operation."""
    if op.type not in NOT_IN_PLACE:
        return 0
    shapes = [tensor.shape.as_list() for tensor in op.inputs]
    output = math.prod(op.outputs[0].shape.as_list())
    if op.type == "Conv2D":
        return output * math.prod(shapes[1][:3])  # kernel (kh, kw, in/groups, out)
    if op.type == "DepthwiseConv2dNative":
        return output * math.prod(shapes[1][:2])
    if op.type == "Conv2DBackpropInput":  # the transposed convolution of input 2, kernel (kh, kw, out, in)
        return math.prod(shapes[2]) * math.prod(shapes[1][:3])
    if op.type == "Einsum":
        indices = op.get_attr("equation").decode().split("->")[0].replace(",", "")
        sizes = dict(zip(indices, [n for shape in shapes for n in shape], strict=True))
        return math.prod(sizes.values())
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    return output * shapes[0][-2 if transposed else -1]


def peak_activation_bytes(ops):
    """The most memory that the maps of one image take at a time in inference, float32, without the weights.

    A map lives from the operation that makes it to the last that reads it; element-wise operations work in place.
    """
    last = {}
    for op in ops:
        last.update({tensor.ref(): op for tensor in op.inputs})
    live = {}
    now = 0
    peak = 0
    for op in ops:
        if op.type in SOURCES:
            continue
        new = {t.ref(): t.dtype.size * math.prod(t.shape.as_list()) for t in op.outputs if t.shape.is_fully_defined()}
        dying = {ref: live.pop(ref) for ref in {t.ref() for t in op.inputs} if ref in live and last[ref] is op}
        freed = sum(dying.values())
        in_place = op.type not in NOT_IN_PLACE and set(new.values()) <= set(dying.values())
        peak = max(peak, now + (0 if in_place else sum(new.values())))
        live.update({ref: size for ref, size in new.items() if ref in last})
        now += sum(size for ref, size in new.items() if ref in last) - freed
    return peak
