"""Sharp blocks for any encoder-decoder: section 3.1's claim that the idea generalizes."""

import keras
from keras import tree

from sharpunet.layers import SharpBlock, sharpening_kernel

_MERGES = {"Concatenate", "Add"}  # layers and operations of keras.ops alike
_ENLARGING = ("UpSampling", "Transpose", "Resiz")


def sharpen_skips(model: keras.Model, kernel="laplacian") -> keras.Model:
    """A copy of an encoder-decoder with a `SharpBlock` on every long skip connection.

    A long skip connection is a feature map that was never upsampled and is concatenated with, or
    added to, one that was. Residual connections, which join two of a kind, stay as they are. A skip
    that is multiplied by an attention gate counts as the skip that it was, and a sum that only
    feeds such a gate as none. The weights of all other layers are kept, and so is how the model
    was compiled; models within the model are searched, each by itself.

    Look at where the blocks are (`[layer.input for layer in model.layers if isinstance(layer,
    SharpBlock)]`): in a network that is no encoder-decoder, such as one with a pooling pyramid,
    they may be in places that are not meant.

    Args:
        model: A functional Keras model of images, `(batch, height, width, channels)`, trained or
            not. It is not changed.
        kernel: As in `SharpBlock`.

    Returns:
        A new `keras.Model` with as many trainable parameters.

    Raises:
        ValueError: If no long skip connection is found, the model is not a functional one, or
            `kernel` is unknown.
    """
    sharpening_kernel(kernel)
    upsampled: set[str] = set()  # names of feature maps on the decoder's side
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
        features = [x for x in tree.flatten((args, kwargs)) if _is_feature_map(x)]
        late = [x.name in upsampled for x in features]
        merges = type(layer).__name__ in _MERGES and layer.name not in gates
        if merges and any(late) and not all(late):
            args, kwargs = tree.map_structure(
                lambda x: sharpen(x) if _is_feature_map(x) and x.name not in upsampled else x,
                (args, kwargs),
            )
        outputs = layer(*args, **kwargs)
        gated = type(layer).__name__ == "Multiply" and not all(late)
        for output in filter(_is_feature_map, tree.flatten(outputs)):
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
    if isinstance(layer, keras.layers.Lambda):  # a configuration does not carry its code safely
        return keras.layers.Lambda(layer.function, arguments=layer.arguments, name=layer.name)
    return type(layer).from_config(layer.get_config())


def _is_feature_map(x) -> bool:
    """Whether `x` is one; a single pixel, such as an embedding, has nothing to sharpen."""
    return isinstance(x, keras.KerasTensor) and len(x.shape) == 4 and tuple(x.shape[1:3]) != (1, 1)


def _gates(model) -> set[str]:
    """Merges whose result reaches nothing but a product: the inside of an attention gate."""
    names = set()
    for layer in model.operations:
        if type(layer).__name__ in _MERGES:
            reached = _merges_reached(layer, set())
            if reached and reached <= {"Multiply"}:
                names.add(layer.name)
    return names


def _merges_reached(layer, seen) -> set[str]:
    """Kinds of the next operations of several inputs on every way from `layer`."""
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
    """Whether a layer at least doubles the sides; by its name where they are not known."""
    sides = [side for x in (*inputs, output) for side in x.shape[1:3]]
    if not inputs or None in sides:
        return any(word in type(layer).__name__ for word in _ENLARGING)
    return all(output.shape[side] >= 2 * max(x.shape[side] for x in inputs) for side in (1, 2))
