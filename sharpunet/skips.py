"""Sharp blocks for any encoder-decoder, as section 3.1 claims that the idea generalises."""

import keras
from keras import tree

from sharpunet.layers import Kernel, SharpBlock, sharpening_kernel

_MERGES = {"Concatenate", "Add"}  # layers and operations of keras.ops alike
_ENLARGING = ("UpSampling", "Transpose", "Resiz")


def sharpen_skips(model: keras.Model, kernel: Kernel = "laplacian") -> keras.Model:
    """Copies an encoder-decoder, with a `SharpBlock` on every long skip connection.

    A long skip connection is a feature map that was never upsampled and is concatenated with, or
    added to, one that was. Residual connections, which join two of the same kind, stay as they are.
    A skip connection that an attention gate multiplies is still one; a sum that only feeds such a
    gate is not. The copy keeps the other layers' weights and is compiled like the model. Models
    inside the model are searched too, each by itself.

    Check where the blocks are (`[layer.input for layer in model.layers if isinstance(layer,
    SharpBlock)]`): in a network that is not an encoder-decoder, such as one with a pooling pyramid,
    they may be where you do not want them.

    Args:
        model: A functional Keras model of images, `(batch, height, width, channels)`, or of
            volumes, `(batch, depth, height, width, channels)`, trained or not. It is not changed.
        kernel: See `SharpBlock`.

    Returns:
        A new `keras.Model` with as many trainable parameters.

    Raises:
        ValueError: If the model has no long skip connection or is not functional, or `kernel`
            is unknown.

    Example:
        >>> from sharpunet import sharpen_skips, unet
        >>> model = unet((32, 32, 1), filters=(4, 8, 16))
        >>> sharpen_skips(model).count_params() - model.count_params()  # 9 * (4 + 8)
        108
    """
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        raise ValueError(f"`model` must be a functional keras.Model. Received: {model!r}")
    sharpening_kernel(kernel, len(model.inputs[0].shape) - 2)
    upsampled: set[str] = set()  # names of the decoder's feature maps
    gates = _gates(model)
    copies: list[tuple] = []
    blocks: list[SharpBlock] = []

    def copy(layer):
        copies.append((layer, _copy_layer(layer)))
        return copies[-1][1]

    def sharpen(feature):
        blocks.append(SharpBlock(kernel, name=f"sharp_block_{len(blocks) + 1}"))
        return blocks[-1](feature)

    def connect(layer, *args, **kwargs):
        features = [x for x in tree.flatten((args, kwargs)) if _is_spatial(x)]
        late = [x.name in upsampled for x in features]
        merges = type(layer).__name__ in _MERGES and layer.name not in gates
        if merges and any(late) and not all(late):
            args, kwargs = tree.map_structure(
                lambda x: sharpen(x) if _is_spatial(x) and x.name not in upsampled else x,
                (args, kwargs),
            )
        outputs = layer(*args, **kwargs)
        gated = type(layer).__name__ == "Multiply" and not all(late)
        for output in filter(_is_spatial, tree.flatten(outputs)):
            if (any(late) and not gated) or _enlarges(layer, features, output):
                upsampled.add(output.name)
        return outputs

    sharpened = keras.models.clone_model(
        model, clone_function=copy, call_function=connect, recursive=True
    )
    if not blocks:
        raise ValueError(
            f"`model`: {model.name} has no long skip connection: nowhere is a feature map that "
            "was upsampled concatenated with, or added to, one that was not"
        )
    for layer, twin in copies:
        if isinstance(layer, keras.layers.Layer):
            twin.set_weights(layer.get_weights())
    return sharpened


def _copy_layer(layer):
    if isinstance(layer, keras.layers.Lambda):  # its config serialises its code unsafely
        return keras.layers.Lambda(layer.function, arguments=layer.arguments, name=layer.name)
    return type(layer).from_config(layer.get_config())


def _is_spatial(x) -> bool:
    """Whether `x` is a feature map of more than one pixel; one pixel has nothing to sharpen."""
    if not isinstance(x, keras.KerasTensor) or len(x.shape) not in (4, 5):
        return False
    return any(side != 1 for side in x.shape[1:-1])


def _gates(model) -> set[str]:
    """Names of merges whose result only reaches a product: the inside of an attention gate."""
    names = set()
    for layer in model.operations:
        if type(layer).__name__ in _MERGES:
            reached = _merges_reached(layer, set())
            if reached and reached <= {"Multiply"}:
                names.add(layer.name)
    return names


def _merges_reached(layer, seen) -> set[str]:
    """Types of the next operations with several inputs on every path from `layer`."""
    found: set[str] = set()
    for node in layer._outbound_nodes:
        operation = node.operation
        if operation in seen:
            continue
        seen.add(operation)
        inputs = [x for x in node.input_tensors if isinstance(x, keras.KerasTensor)]
        found |= {type(operation).__name__} if len(inputs) > 1 else _merges_reached(operation, seen)
    return found


def _enlarges(layer, inputs, output) -> bool:
    """Whether a layer at least doubles the sides; judged by its name if they are unknown."""
    sides = [side for x in (*inputs, output) for side in x.shape[1:-1]]
    if not inputs or None in sides:
        return any(word in type(layer).__name__ for word in _ENLARGING)
    spatial = range(1, len(output.shape) - 1)
    return all(output.shape[side] >= 2 * max(x.shape[side] for x in inputs) for side in spatial)
