"""CURL-SAC (Srinivas et al. 2020, Haarnoja et al. 2018) from pixels; without the contrast it is SAC.

Actor and critic share convolutions, which only the critic and the contrast train (N = 2 encoders). After a freeze at
the fully connected layer an observation is two latents [2, L], the actor's first, and only the heads are trained.
"""

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import backward
from torch.nn import functional

from edgerl.agents.agent import arrays_under
from edgerl.config import architectures
from edgerl.config.agent_settings import SacConfig
from edgerl.config.architectures import Shape
from edgerl.replay import crops
from edgerl.types import Array, Batch, Update
from torch_agents import modules
from torch_agents.fused_adam import Adam
from torch_agents.modules import load_arrays
from torch_agents.sac_heads import Actor, Critics, delta_orthogonal, hidden_outputs, orthogonal, squashed

CPU = torch.device("cpu")
NO_PRIORITY = np.zeros(0, np.float32)


class Networks(nn.Module):
    """All networks and their targets. `contrast`: CURL's bilinear W, [L, L]; `log_alpha`: log of the temperature."""

    def __init__(self, window: Shape, actions: int, config: SacConfig) -> None:
        super().__init__()
        shared, critic = _encoder(config.encoder, window).split_convolutions()
        _, actor = _encoder(config.encoder, window).split_convolutions()
        last = architectures.last_layer(config.encoder)
        features = architectures.latent_shape(config.encoder, window, last)[0]
        self.encoders = modules.Twin(shared, actor, critic)
        self.actor = Actor(features, actions, config.hidden, config.log_std_min, config.log_std_max)
        self.critics = Critics(features, actions, config.hidden)
        self.target_encoders = modules.Twin(copy.deepcopy(shared), nn.Identity(), copy.deepcopy(critic))
        self.target_critics = copy.deepcopy(self.critics)
        for module in (self.target_encoders, self.target_critics):
            module.requires_grad_(False)
        self.contrast: nn.Parameter | None = nn.Parameter(torch.rand(features, features))
        self.log_alpha = nn.Parameter(torch.tensor(math.log(config.alpha_start)))


def _encoder(name: str, window: Shape) -> modules.Encoder:
    """An encoder with orthogonal weights."""
    encoder = modules.build(name, window)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            delta_orthogonal(module)
            weight = module.weight.data.contiguous(memory_format=torch.channels_last)  # half the time on a CPU
            module.weight = nn.Parameter(weight)
        elif isinstance(module, nn.Linear):
            orthogonal(module)
    return encoder


class CurlSac:
    """The agent. `window`: the shape of what encoders see, [C, side, side]; `rng` draws weights, actions and crops."""

    def __init__(
        self,
        window: Shape,
        actions: int,
        config: SacConfig,
        rng: np.random.Generator,
        device: torch.device = CPU,
        *,
        contrast: bool = True,
        random_crop: bool = True,
    ) -> None:
        self.config, self.actions, self.rng, self.device = config, actions, rng, device
        self.window, self.side, self.random_crop = tuple(window), window[1], random_crop
        self.cut: str | None = None
        self.acted = self.updates = 0
        torch.manual_seed(int(rng.integers(2**63)))
        self.net = Networks(window, actions, config).to(device)
        if not contrast:
            self.net.contrast = None
        net, rate = self.net, config.learning_rate
        encoder = [*_named("shared", net.encoders.shared), *_named("neck", net.encoders.critic)]
        self.critic_optimizer = Adam([*encoder, *_named("q", net.critics)], rate)
        self.actor_optimizer = Adam([*_named("neck", net.encoders.actor), *_named("head", net.actor)], rate)
        betas = (config.alpha_beta1, 0.999)
        self.alpha_optimizer = Adam([("log_alpha", net.log_alpha)], config.alpha_learning_rate, betas=betas)
        # CURL's code steps two optimizers on the encoder with the same gradients, one of them together with W. Their
        # moments are equal, so one step of twice the length does the same.
        self.contrast_optimizers: list[Adam] = []
        if net.contrast is not None:
            self.contrast_optimizers = [Adam(encoder, 2 * rate), Adam([("contrast", net.contrast)], rate)]
        self.metrics: dict[str, float] = {}

    def act(self, observation: Array, *, explore: bool) -> Array:
        """An action [A] in [-1, 1] for one observation: the mean, or if exploring a sample, at first a uniform one."""
        if explore:
            self.acted += 1
            if self.acted <= self.config.random_steps:
                return self.rng.uniform(-1, 1, self.actions).astype(np.float32)
        net = self.net
        with torch.no_grad():
            mean, log_std = net.actor(net.encoders.actor(net.encoders.shared(self._observations(observation[None]))))
            noise = self._noise(mean) if explore else torch.zeros_like(mean)
            action: Array = squashed(mean, log_std, noise)[0][0].cpu().numpy()
        return action

    def update(self, batch: Batch) -> Update:
        """One update: critics, every `actor_every` updates the actor, and the contrast on one crop; targets follow."""
        config, net = self.config, self.net
        obs, next_obs = self._cropped(batch.obs), self._cropped(batch.next_obs)
        self._update_critics(obs, next_obs, batch)
        updates_actor, has_contrast = self.updates % config.actor_every == 0, net.contrast is not None
        if updates_actor or has_contrast:  # the critics' step changed the convolutions: actor and contrast encode again
            with torch.set_grad_enabled(has_contrast):
                shared = net.encoders.shared(obs)
                features = net.encoders.critic(shared)
            if updates_actor:
                self._update_actor(shared.detach(), features.detach())
        if self.updates % config.target_every == 0:
            follow(net.target_critics, net.critics, config.tau_q)
            follow(net.target_encoders.shared, net.encoders.shared, config.tau_encoder)
            follow(net.target_encoders.critic, net.encoders.critic, config.tau_encoder)
        if has_contrast:
            self._update_contrast(features, self._cropped(batch.obs))
        self.updates += 1
        return Update(dict(self.metrics), NO_PRIORITY)

    def _update_critics(self, obs: Tensor, next_obs: Tensor, batch: Batch) -> None:
        """One step on (Q - y)^2 of both critics, y = r + discount (min Q' - alpha log pi)."""
        net = self.net
        with torch.no_grad():
            mean, log_std = net.actor(net.encoders.actor(net.encoders.shared(next_obs)))
            action, log_prob = squashed(mean, log_std, self._noise(mean))
            features = net.target_encoders.critic(net.target_encoders.shared(next_obs))
            value = torch.min(*net.target_critics(features, action)) - net.log_alpha.exp() * log_prob
            target = self._tensor(batch.reward) + self._tensor(batch.discount) * value
        first, second = net.critics(net.encoders.critic(net.encoders.shared(obs)), self._tensor(batch.action))
        loss = functional.mse_loss(first, target) + functional.mse_loss(second, target)
        backward(loss)
        self.critic_optimizer.step()
        self.metrics["loss"] = float(loss.detach())

    def _update_actor(self, shared: Tensor, features: Tensor) -> None:
        """One step on alpha log pi - min Q, and one of alpha towards an entropy of -A; no gradient for the encoder."""
        net = self.net
        mean, log_std = net.actor(net.encoders.actor(shared))
        action, log_prob = squashed(mean, log_std, self._noise(mean))
        alpha = net.log_alpha.exp()
        loss = (alpha.detach() * log_prob - torch.min(*net.critics(features, action))).mean()
        backward(loss, inputs=list(self.actor_optimizer.parameters.values()))
        self.actor_optimizer.step()
        backward(alpha * (-log_prob.detach() + self.actions).mean())
        self.alpha_optimizer.step()
        self.metrics |= {
            "actor_loss": float(loss.detach()),
            "entropy": -float(log_prob.detach().mean()),
            "alpha": float(alpha.detach()),
        }

    def _update_contrast(self, query: Tensor, other_crop: Tensor) -> None:
        """One step on the cross-entropy of query W key over the batch; `other_crop`: another crop of the windows."""
        net = self.net
        with torch.no_grad():
            key = net.target_encoders.critic(net.target_encoders.shared(other_crop))
        assert net.contrast is not None
        loss = contrastive_loss(query, net.contrast, key)
        backward(loss)
        for optimizer in self.contrast_optimizers:
            optimizer.step()
        self.metrics["contrastive_loss"] = float(loss.detach())

    def _cropped(self, windows: Array) -> Tensor:
        """A batch as encoders take it: every window [B, C, H, W] cropped at its own offset, latents unchanged."""
        if self.cut is None and windows.shape[1:] != self.window:
            if self.random_crop:
                windows = crops.crop(windows, crops.draw(windows, self.side, self.rng), self.side)
            else:
                windows = crops.centre(windows, self.side)
        return self._observations(windows)

    def _observations(self, observations: Array) -> Tensor:
        tensor = self._tensor(observations)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.dtype == torch.uint8 else tensor

    def _tensor(self, array: Array) -> Tensor:
        tensor = torch.from_numpy(array).to(self.device)
        return tensor.double() if tensor.dtype == torch.float32 else tensor

    def _noise(self, like: Tensor) -> Tensor:
        return self._tensor(self.rng.standard_normal(tuple(like.shape), np.float32))

    def stem(self, cut: str) -> modules.Stem:
        """What lies left of `cut`, with the weights it has now, on the CPU; the agent stays whole."""
        module = self.net.encoders.split(cut)[0]
        module = module if self.device == CPU else copy.deepcopy(module).to(CPU)
        return modules.Stem(module, self.config.encoder, self.window, cut, encoders=2)

    def freeze(self, cut: str) -> None:
        """Keep what lies right of `cut` (paper section 4.1); the contrast ends, and the target shares the stem."""
        net, self.cut = self.net, cut
        stem, net.encoders = net.encoders.split(cut)
        _, net.target_encoders = net.target_encoders.split(cut)
        frozen = list(stem.parameters())
        self.critic_optimizer.drop(frozen)
        self.actor_optimizer.drop(frozen)
        self.contrast_optimizers, net.contrast = [], None
        self.metrics.pop("contrastive_loss", None)

    def adopt(self, arrays: dict[str, Array], stem: dict[str, Array], *, heads: bool) -> None:
        """Start from another agent's encoders, with `heads` from all its networks: `arrays` as its `state` returned.

        `stem`: the weights a freeze removed; empty if the source was never frozen. With `heads` targets are the
        source's, and W is if it still has one; without `heads` the target encoders are copies of the online ones. The
        temperature, the optimizers and all counters stay as they are. Raises RuntimeError for other networks.
        """
        net, source = self.net, arrays_under(arrays, "net.")
        online = stem | arrays_under(source, "encoders.")
        target = stem | arrays_under(source, "target_encoders.") if heads else online
        load_arrays(net.encoders, online)
        load_arrays(
            net.target_encoders, {name: array for name, array in target.items() if not name.startswith("actor.")}
        )
        if heads:
            for name in ("actor", "critics", "target_critics"):
                load_arrays(net.get_submodule(name), arrays_under(source, f"{name}."))
            if net.contrast is not None and "contrast" in source:
                net.contrast.data.copy_(torch.from_numpy(source["contrast"]))

    @property
    def _optimizers(self) -> dict[str, Adam]:
        optimizers = {"critic": self.critic_optimizer, "actor": self.actor_optimizer, "alpha": self.alpha_optimizer}
        return optimizers | {f"contrast{n}": optimizer for n, optimizer in enumerate(self.contrast_optimizers)}

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that training changes: arrays by name (views, not copies, on the CPU), and plain values."""
        arrays = {f"net.{name}": tensor.detach().cpu().numpy() for name, tensor in self.net.state_dict().items()}
        for name, optimizer in self._optimizers.items():
            arrays |= {f"optimizer.{name}.{key}": array for key, array in optimizer.state().items()}
        values = {"cut": self.cut, "acted": self.acted, "updates": self.updates, "metrics": self.metrics}
        return arrays, values | {"rng": self.rng.bit_generator.state}

    def load(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Restore what `state` returned, cut included. Raises RuntimeError or KeyError for another agent's arrays."""
        if values["cut"] is not None and self.cut is None:
            self.freeze(values["cut"])
        load_arrays(self.net, arrays_under(arrays, "net."))
        for name, optimizer in self._optimizers.items():
            optimizer.load(arrays_under(arrays, f"optimizer.{name}."))
        self.acted, self.updates, self.metrics = values["acted"], values["updates"], values["metrics"]
        self.rng.bit_generator.state = values["rng"]

    @torch.no_grad()
    def activations(self, observations: Array, actions: Array) -> dict[str, Array]:
        """See `Agent`. Layers only the actor has are named "policy", the first critic's "Q"."""
        net = self.net
        outputs, shared = modules.activations(net.encoders.shared, self._observations(observations))
        policy, actor_features = modules.activations(net.encoders.actor, shared)
        q, critic_features = modules.activations(net.encoders.critic, shared)
        policy |= hidden_outputs(net.actor.layers, actor_features)
        q |= hidden_outputs(net.critics.first, torch.cat([critic_features, self._tensor(actions)], dim=1))
        outputs |= {f"policy {name}": output for name, output in policy.items()}
        outputs |= {f"Q {name}": output for name, output in q.items()}
        return {name: output.cpu().numpy() for name, output in outputs.items()}

    def nbytes(self) -> dict[str, int]:
        """Bytes held, by line of the ledger: parameters of all networks, and the optimizers' moments."""
        return {
            "networks": sum(p.nbytes for p in self.net.parameters()),
            "optimizer": sum(optimizer.nbytes for optimizer in self._optimizers.values()),
        }


def contrastive_loss(query: Tensor, w: Tensor, key: Tensor) -> Tensor:
    """-log softmax(query W key^T) on the diagonal, mean over the batch (CURL, equation 4)."""
    logits = query @ w @ key.T
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move the target's parameters towards the source's, by the share `tau` of the difference."""
    pairs = list(zip(target.parameters(), source.parameters(), strict=True))
    if pairs:
        old, new = map(list, zip(*pairs, strict=True))
        torch._foreach_lerp_(old, new, tau)


def _named(prefix: str, module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters of a module, each with its name after `prefix`."""
    return [(f"{prefix}.{name}", parameter) for name, parameter in module.named_parameters()]
