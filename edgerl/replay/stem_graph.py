"""The layers left of a cut as the operations that ONNX Runtime runs, from the architecture alone. No torch."""

from math import prod

from edgerl.config import architectures
from edgerl.config.architectures import RESIDUALS, Block, Layer, Linear, Shape
from runtime import export
from runtime.export import Operation

SHARED, OWN = "shared.", ("actor.", "critic.")  # what the names of weights begin with where two encoders share

WINDOW_MEANING = (
    "frames of uint8 pixels, the newest last, their channels one after another, as the encoder sees them: cropped"
)


def stem_operations(encoder: str, window: Shape, cut: str, *, encoders: int = 1) -> tuple[tuple[Operation, ...], Shape]:
    """The operations of a stem, up to layer `cut` with its ReLU or LayerNorm, and the shape of a latent.

    Two `encoders` share their convolutions, and each has a fully connected layer of its own: [2, L] behind a cut there.
    """
    layers = architectures.layers(encoder, window)
    names = [layer.name for layer in layers]
    stem = layers[: names.index(cut) + 1]
    latent = architectures.latent_shape(encoder, window, cut)
    prefix = SHARED if encoders > 1 else ""
    operations: list[Operation] = []
    for layer in stem:
        if isinstance(layer.spec, Linear):
            operations.append(export.Flatten())
            branches = tuple(_linear(layer, own) for own in (OWN if encoders > 1 else ("",)))
            operations += branches[0] if encoders == 1 else [export.Stack(branches)]
        else:
            operations += _convolutions(layer, prefix, first=layer is layers[0], last=_is_last(layer, layers))
    ends_convolutions = not isinstance(stem[-1].spec, Linear) and _is_last(stem[-1], layers)
    if ends_convolutions and (cut == names[-1] or encoders > 1):
        operations.append(export.Flatten())
        latent = (prod(latent),)
    return tuple(operations), (encoders, *latent) if cut == "fc" and encoders > 1 else latent


def acting_operations(encoder: str, window: Shape, *, encoders: int = 1) -> tuple[Operation, ...]:
    """The operations of a whole encoder, from windows to flat features; of two that share convolutions, the actor's."""
    cut = architectures.last_layer(encoder)
    *before, last = stem_operations(encoder, window, cut, encoders=encoders)[0]
    return (*before, *last.branches[0]) if isinstance(last, export.Stack) else (*before, last)


def _is_last(layer: Layer, layers: list[Layer]) -> bool:
    """Whether this is the last layer of convolutions."""
    convolutions = [candidate for candidate in layers if not isinstance(candidate.spec, Linear)]
    return layer is convolutions[-1]


def _convolutions(layer: Layer, prefix: str, *, first: bool, last: bool) -> list[Operation]:
    """A `Conv` with its ReLU, or a `Block`, which has one behind it if it is the last."""
    name = prefix + layer.name
    if not isinstance(layer.spec, Block):
        assert not isinstance(layer.spec, Linear)  # noqa: S101
        return [export.Conv(name, layer.spec.stride, pixels=first), export.Relu()]
    operations: list[Operation] = [
        export.Conv(f"{name}.conv", stride=1, padding=1, pixels=first),
        export.MaxPool(kernel=3, stride=2, padding=1),
    ]
    for residual in RESIDUALS:
        branch: list[Operation] = []
        for number in (1, 2):
            branch += [export.Relu(), export.Conv(f"{name}.{residual}.conv{number}", stride=1, padding=1)]
        operations.append(export.Residual(tuple(branch)))
    return [*operations, export.Relu()] if last else operations


def _linear(layer: Layer, prefix: str) -> tuple[Operation, ...]:
    assert isinstance(layer.spec, Linear)  # noqa: S101
    behind = export.LayerNorm(f"{prefix}norm") if layer.spec.norm else export.Relu()
    return (export.Linear(f"{prefix}fc"), behind)
