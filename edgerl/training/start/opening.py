"""What the user is told as a run begins."""

from edgerl.agents.engine_choice import torch_is_missed
from edgerl.envs.base import sees
from edgerl.envs.door import Door
from edgerl.envs.fleet.fleet import Fleet
from edgerl.output.messages import warn
from edgerl.output.progress import Reporter
from edgerl.planning.introduction import introduction
from edgerl.training.start.checks import Checked
from edgerl.training.start.networks import Networks
from edgerl.training.start.request import Request


def tell(reporter: Reporter, request: Request, checked: Checked, networks: Networks, env: Door | Fleet) -> None:
    """Show what the run will do, and what the user should know of it before the first step."""
    for note in request.notes:
        warn(note)
    if request.handed is None:
        for line in _lines(request, checked, networks, env):
            reporter.say(line)
    if networks.provider_note is not None and checked.saved is None:  # a resumed run says it of its stem, or at T_f
        reporter.say(f"--ort-provider: {networks.provider_note}")
    if checked.source is not None:
        reporter.say(checked.source.lines)


def _lines(request: Request, checked: Checked, networks: Networks, env: Door | Fleet) -> list[str]:
    """What a run that goes on from another program has said already."""
    config, shape = checked.config, checked.pixels.shape
    lines = [introduction(config, checked.plan, checked.limit, checked.limit_source, request.named, shape)]
    if (seen := env.sees if isinstance(env, Fleet) else sees(env)) is not None:
        lines.append(f"sees     {seen}")
    if (missed := torch_is_missed(config, shape, frozen=networks.frozen)) is not None:
        lines.append(missed)
    lines += env.notes
    if checked.why_alone is not None:
        lines.append(f"evaluations are played on the training environment, after an episode: {checked.why_alone}")
    return lines
