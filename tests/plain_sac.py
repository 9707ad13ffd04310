"""CURL-SAC as it is written down, to compare the agent with; and small agents and batches."""

import copy
import math

import engines
import numpy as np
import torch
from torch.nn import functional

from edgerl.agents.agent import arrays_under
from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.sac import CurlSac
from edgerl.config.agent_settings import SacConfig
from edgerl.config.toml import preset
from edgerl.types import Batch

WHOLE, SEEN, ACTIONS, FEATURES = (9, 24, 24), (9, 20, 20), 2, 50


def agent(seed=0, *, seen=SEEN, contrast=True, random_crop=True, engine=None, **changes):
    settings = preset("dmc/reacher-easy")["agent"] | {"hidden": 32, "random_steps": 0} | changes
    rng = np.random.default_rng(seed)
    torch.set_num_threads(1)  # as small as these are, threads only wait for each other
    engine = engines.TORCH if engine is None else engine
    return CurlSac(seen, ACTIONS, SacConfig(**settings), rng, engine, contrast=contrast, random_crop=random_crop)


def weights(learner):
    """Every weight of an agent by name, as copies."""
    return {name: np.array(array) for name, array in arrays_under(learner.state()[0], "net.").items()}


def features(learner, observations):
    """What the actor's and the critic's encoder give for a batch, [B, L] each."""
    net = learner.net
    maps = net.encoders.maps(net.encoders.prepare(observations))
    return [to_numpy(each) for each in (net.actor_features(maps), critic_features(net.encoders, maps))]


def target_features(learner, observations):
    """What the target critic's encoder gives for a batch, [B, L]."""
    return to_numpy(learner.net.target_features(learner.net.target_encoders.prepare(observations)))


def critic_features(encoders, maps):
    return encoders.critic.apply(encoders.for_critic(maps))


def batch(rng, size=4, latent=None):
    def observations():
        if latent is None:
            return rng.integers(0, 256, (size, *WHOLE), dtype=np.uint8)
        return rng.standard_normal((size, *latent), np.float32)

    return Batch(
        obs=observations(),
        action=rng.uniform(-1, 1, (size, ACTIONS)).astype(np.float32),
        reward=rng.standard_normal(size).astype(np.float32),
        discount=np.where(np.arange(size) == 0, 0, 0.99).astype(np.float32),
        next_obs=observations(),
        weight=np.ones(size, np.float32),
        index=np.arange(size),
    )


class Plain:
    """Every pass of its own, nothing shared, torch.optim.Adam, two of them on the encoder.

    Starts with an agent's parameters, `p` by their names, and a copy of its generator. On latents it leaves the encoder
    and the contrast out.
    """

    def __init__(self, learner):
        self.random_crop, self.rng, self.updates = learner.random_crop, copy.deepcopy(learner.rng), 0
        self.p = {name: torch.from_numpy(array) for name, array in weights(learner).items()}
        for name, tensor in self.p.items():
            tensor.requires_grad = not name.startswith("target")
        encoder = self.under("encoders.shared", "encoders.critic")
        self.critic = torch.optim.Adam([*encoder, *self.under("critics")], 1e-3)
        self.actor = torch.optim.Adam(self.under("encoders.actor", "actor"), 1e-3)
        self.alpha = torch.optim.Adam([self.p["log_alpha"]], 1e-4, (0.5, 0.999))
        self.contrast = [torch.optim.Adam(each, 1e-3) for each in (encoder, [*encoder, *self.under("contrast")])]

    def under(self, *prefixes):
        return [tensor for name, tensor in self.p.items() if name.startswith(prefixes)]

    def features(self, part, who, x):
        if x.dtype == torch.float32:  # latents
            return x[:, ("actor", "critic").index(who)]
        x = x / 255
        for layer, stride in enumerate((2, 1, 1, 1), start=1):
            conv = f"{part}.shared.conv{layer}."
            x = torch.relu(functional.conv2d(x, self.p[conv + "weight"], self.p[conv + "bias"], stride))
        fc, norm = f"{part}.{who}.fc.", f"{part}.{who}.norm."
        x = functional.linear(x.flatten(1), self.p[fc + "weight"], self.p[fc + "bias"])
        return functional.layer_norm(x, (FEATURES,), self.p[norm + "weight"], self.p[norm + "bias"])

    def mlp(self, name, x):
        for layer in (0, 2, 4):
            x = functional.linear(x, self.p[f"{name}.{layer}.weight"], self.p[f"{name}.{layer}.bias"])
            x = torch.relu(x) if layer < 4 else x
        return x

    def policy(self, x):
        mean, log_std = self.mlp("actor.layers", self.features("encoders", "actor", x)).chunk(2, 1)
        log_std = -10 + 6 * (torch.tanh(log_std) + 1)
        noise = torch.from_numpy(self.rng.standard_normal(tuple(mean.shape), np.float32))
        action = torch.tanh(mean + log_std.exp() * noise)
        log_prob = -(noise**2) / 2 - log_std - math.log(math.sqrt(2 * math.pi)) - torch.log(1 - action**2 + 1e-6)
        return action, log_prob.sum(1)

    def values(self, part, x, action):
        both = torch.cat([self.features(part + "encoders", "critic", x), action], 1)
        return [self.mlp(f"{part}critics.{which}", both)[:, 0] for which in ("first", "second")]

    def cropped(self, windows):
        if windows.dtype == np.float32:
            return torch.from_numpy(windows)
        offsets = np.full((len(windows), 2), 2)
        if self.random_crop:
            offsets = self.rng.integers(0, np.array([5, 5]), (len(windows), 2))
        pairs = zip(windows, offsets, strict=True)
        return torch.from_numpy(np.stack([w[:, top : top + 20, left : left + 20] for w, (top, left) in pairs]))

    def minimise(self, loss, *optimizers):
        for tensor in self.p.values():
            tensor.grad = None
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    def update(self, data):
        p = self.p
        obs, next_obs = self.cropped(data.obs), self.cropped(data.next_obs)
        reward, discount, action = (torch.from_numpy(x) for x in (data.reward, data.discount, data.action))
        with torch.no_grad():
            next_action, log_prob = self.policy(next_obs)
            value = torch.min(*self.values("target_", next_obs, next_action)) - p["log_alpha"].exp() * log_prob
            wanted = reward + discount * value
        first, second = self.values("", obs, action)
        found = {"loss": self.minimise(((first - wanted) ** 2 + (second - wanted) ** 2).mean(), self.critic)}
        if self.updates % 2 == 0:
            sampled, log_prob = self.policy(obs)
            alpha = p["log_alpha"].exp()
            loss = (alpha.detach() * log_prob - torch.min(*self.values("", obs, sampled))).mean()
            found |= {"actor_loss": self.minimise(loss, self.actor), "alpha": alpha.item()}
            found["entropy"] = -log_prob.mean().item()
            self.minimise((p["log_alpha"].exp() * (-log_prob.detach() + ACTIONS)).mean(), self.alpha)
            with torch.no_grad():
                for name in [name for name in p if name.startswith("target_")]:
                    tau = 0.01 if name.startswith("target_critics") else 0.05
                    p[name].copy_((1 - tau) * p[name] + tau * p[name.removeprefix("target_")])
        if "contrast" in p and data.obs.dtype == np.uint8:
            query = self.features("encoders", "critic", obs)
            with torch.no_grad():
                key = self.features("target_encoders", "critic", self.cropped(data.obs))
            logits = query @ p["contrast"] @ key.T
            found["contrastive_loss"] = self.minimise(-logits.log_softmax(1).diagonal().mean(), *self.contrast)
        self.updates += 1
        return found
