"""Adam with torch's own fused kernel, for parameters that can be dropped.

The class torch.optim.Adam imports torch._dynamo and sympy, which take 85 MB. The function torch.optim.adam.adam calls
the same kernel without them.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from edgerl.types import Array


class Adam:
    """Adam (Kingma & Ba 2015) with gradient clipping by the global norm, over named parameters.

    `clip_norm`: gradients of a larger norm are scaled to it; None: never.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        learning_rate: float,
        *,
        eps: float = 1e-8,
        betas: tuple[float, float] = (0.9, 0.999),
        clip_norm: float | None = None,
    ) -> None:
        self.learning_rate, self.eps, self.betas, self.clip_norm = learning_rate, eps, betas, clip_norm
        self.parameters = dict(parameters)
        self.moments = {
            name: (torch.zeros_like(p), torch.zeros_like(p), torch.zeros((), device=p.device))
            for name, p in self.parameters.items()
        }

    @torch.no_grad()
    def step(self) -> float:
        """One step on the parameters' gradients; returns their norm before clipping (0 without `clip_norm`)."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = 0.0
        if self.clip_norm is not None:
            norm = float(torch.stack([g.reshape(-1).dot(g.reshape(-1)) for g in gradients]).sum().sqrt())
            if norm > self.clip_norm:
                torch._foreach_mul_(gradients, self.clip_norm / (norm + 1e-6))
        first, second, steps = map(list, zip(*self.moments.values(), strict=True))
        adam(
            list(self.parameters.values()),
            gradients,
            first,
            second,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=self.eps,
            maximize=False,
        )
        self.clear()
        return norm

    def clear(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def drop(self, parameters: Iterable[nn.Parameter]) -> None:
        """Remove these parameters with their gradients and moments."""
        dropped = set(parameters)
        for name in [name for name, p in self.parameters.items() if p in dropped]:
            self.parameters.pop(name).grad = None
            del self.moments[name]

    def _named(self) -> dict[str, Tensor]:
        """Moments and step counts by `<parameter>.<exp_avg|exp_avg_sq|step>`."""
        kinds = ("exp_avg", "exp_avg_sq", "step")
        return {
            f"{parameter}.{kind}": tensor
            for parameter, tensors in self.moments.items()
            for kind, tensor in zip(kinds, tensors, strict=True)
        }

    def state(self) -> dict[str, Array]:
        """Moments and step counts by `<parameter>.<exp_avg|exp_avg_sq|step>`; views, not copies, on the CPU."""
        return {name: tensor.cpu().numpy() for name, tensor in self._named().items()}

    def load(self, state: dict[str, Array]) -> None:
        """Restore what `state` returned. Raises KeyError if a parameter's moments are missing."""
        for name, tensor in self._named().items():
            tensor.copy_(torch.from_numpy(state[name]))

    @property
    def nbytes(self) -> int:
        return sum(int(tensor.nbytes) for tensors in self.moments.values() for tensor in tensors)
