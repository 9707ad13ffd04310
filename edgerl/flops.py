"""Multiply-adds of a run, layer by layer: the paper's convention (appendix B) and an exact count beside it.

Paper: forward E + M per sample, F forward and B backward passes of 2 (E + M) an update, acting not counted; after
the freeze E only for the one new latent a step. Exact: every multiply-add that runs, acting too, and no gradient with
respect to what is not trained: the first trained layer needs none for its input.
"""

from dataclasses import dataclass

from edgerl import architectures
from edgerl.architectures import Shape


@dataclass(frozen=True)
class Flops:
    """Counts for one agent. `layers`: (name, multiply-adds of a forward pass per sample), in order of execution."""

    stem: tuple[tuple[str, int], ...]
    tail: tuple[tuple[str, int], ...]
    batch: int
    forwards: int = 3  # online s, online s', target s'
    backwards: int = 1
    encodings: int = 1  # K N: latents a step
    read: int = 0  # windows that the stem encodes for every batch after the freeze, where pixels are kept

    @property
    def layers(self) -> dict[str, int]:
        return dict(self.stem + self.tail)

    @property
    def encoder(self) -> int:
        """E: multiply-adds of the layers left of the cut, per sample."""
        return sum(count for _, count in self.stem)

    @property
    def heads(self) -> int:
        """M: multiply-adds of everything right of the cut, per sample."""
        return sum(count for _, count in self.tail)

    @property
    def acting(self) -> int:
        """One step without an update: encode, and run the heads once."""
        return self.encoder * self.encodings + self.heads

    def per_update(self, *, frozen: bool) -> int:
        """b F (E + M) + 2 b B (E + M), and after the freeze b F M + 2 b B M + E K N.

        Where pixels are kept, 2 b E more: the windows of the batch.
        """
        passes = self.batch * (self.forwards + 2 * self.backwards)
        if frozen:
            return passes * self.heads + self.encoder * (self.encodings + self.read)
        return passes * (self.encoder + self.heads)

    def exact_per_update(self, *, frozen: bool) -> int:
        """What one step with an update runs: encoding and acting once, the forward passes, and the gradients."""
        trained = self.tail if frozen else self.stem + self.tail
        forward = sum(count for _, count in trained)
        backward = 2 * forward - self._without_input_gradient(frozen=frozen)
        read = self.encoder * self.read if frozen else 0
        return self.acting + read + self.batch * (self.forwards * forward + self.backwards * backward)

    def _without_input_gradient(self, *, frozen: bool) -> int:
        name, count = (self.tail if frozen else self.stem)[0]
        if name.startswith("conv"):
            return count
        return sum(count for name, count in self.tail if name.endswith("_hidden"))

    def conversion(self, rows: int) -> int:
        """The freeze's one-time cost: E K N for every row present, none where pixels are kept."""
        return 0 if self.read else self.encoder * self.encodings * rows


def rainbow(
    encoder: str, window: Shape, actions: int, hidden: int, atoms: int, batch: int, cut: str, *, keeps_pixels: bool
) -> Flops:
    """Rainbow's counts: convolutions without bias, linear layers with it (Table 3)."""
    found = architectures.layers(encoder, window)
    convs = [(layer.name, layer.flops) for layer in found]
    features = architectures.latent_shape(encoder, window, architectures.last_layer(encoder))[0]
    heads = []
    for stream, outputs in (("value", atoms), ("advantage", atoms * actions)):
        heads.append((f"{stream}_hidden", (features + 1) * hidden))
        heads.append((f"{stream}_out", (hidden + 1) * outputs))
    end = [name for name, _ in convs].index(cut) + 1
    return Flops(tuple(convs[:end]), tuple(convs[end:] + heads), batch, read=2 * batch if keeps_pixels else 0)
