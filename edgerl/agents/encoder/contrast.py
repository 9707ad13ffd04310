"""CURL's contrast (Srinivas et al. 2020): features of two crops of a window are to be alike, by a bilinear product."""

from typing import Any

import numpy as np

from edgerl.agents.layers.arrays import Engine, log_softmax, namespace, row_numbers
from edgerl.agents.layers.parameters import Parameters


class Contrast:
    """The bilinear W [L, L], uniform within 0 to 1 at first."""

    def __init__(self, engine: Engine, features: int, rng: np.random.Generator) -> None:
        drawn = rng.random((features, features), np.float32)
        self.parameters = Parameters(engine, {"contrast": drawn}, trained=True)

    def loss(self, query: Any, key: Any) -> tuple[float, Any]:
        """-log softmax(query W key^T) on the diagonal, mean over the batch (equation 4); features are [B, L] each.

        Returns it with the gradient of `query`; the gradient of W is written.
        """
        w, xp, size = self.parameters.arrays["contrast"], namespace(query), len(query)
        keys = w @ key.T
        logits = log_softmax(query @ keys)
        diagonal = row_numbers(logits), row_numbers(logits)
        loss = -float(xp.mean(logits[diagonal]))
        gradient = xp.exp(logits)
        gradient[diagonal] -= 1
        gradient /= size
        xp.matmul(query.T, gradient @ key, out=self.parameters.gradients["contrast"])
        return loss, gradient @ keys.T
