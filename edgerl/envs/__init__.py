"""Environments: their protocol, the suites by name, and how a run resumes in the middle of an episode."""

from edgerl.envs.base import EnvSpec

__all__ = ["EnvSpec"]
