"""The networks a run begins with, taken through a rehearsal of the freeze before the first step."""

from dataclasses import dataclass

import numpy as np

from edgerl.agents.agent import Agent
from edgerl.agents.build import make_agent
from edgerl.envs.door import Door
from edgerl.envs.fleet.fleet import Fleet
from edgerl.planning import limits
from edgerl.training import transfer
from edgerl.training.freeze import rehearse
from edgerl.training.resume import encode_once
from edgerl.training.start.checks import Checked
from edgerl.training.start.request import Request
from edgerl.training.state import freeze_report_of
from memory_budget import rss_bytes
from memory_budget.malloc import SCRATCH_BLOCK, keep_blocks, trim


@dataclass(frozen=True)
class Networks:
    """An agent that has encoded once. `frozen`: whether its stem is; `provider_note`: why --ort-provider is not used.

    `baseline`: resident bytes before it was made; `library_bytes`: resident bytes without it, now that all is loaded.
    """

    agent: Agent
    frozen: bool
    provider_note: str | None
    baseline: int
    library_bytes: int


def make_networks(request: Request, checked: Checked, env: Door | Fleet, rng: np.random.Generator) -> Networks:
    """Make the agent, whole or already cut; raises ConfigError if the run does not fit its limit with it."""
    config, saved, pixels = checked.config, checked.saved, checked.pixels
    keep_blocks(SCRATCH_BLOCK)
    baseline = rss_bytes()
    report = None if saved is None else freeze_report_of(saved)
    cut = None if report is None else config.agent.cut
    agent = make_agent(config, pixels.shape, env.actions, rng, cut=cut)
    if checked.source is not None:
        transfer.begin(agent, checked.source)
    provider_note = None
    if report is None:
        provider_note = rehearse(agent, pixels, config.agent.cut, config.run.ort_provider)
    else:
        encode_once(agent, request.folder, pixels, report, config.run.ort_provider)
    trim()  # what making and exporting the networks left free
    library_bytes = rss_bytes() - sum(agent.nbytes().values())  # after a first encoding: nothing more is loaded later
    if request.handed is None:
        limits.check_fit(checked.plan, library_bytes, *limits.process_limit(config))  # read again: it may have changed
    return Networks(agent, report is not None, provider_note, baseline, library_bytes)
