"""The rule by which a freeze would have been safe, on intervals made up."""

import pytest

from edgerl.experiments.analysis.safe_freeze import settled, verdict
from edgerl.settling.rule import Interval, Rule

RULE = Rule(0.9, 0.1)


def rows(*what):
    """Intervals of ten steps, each (score, moved); an untrained network scores 0.6 at conv1, where nothing changes."""
    untrained = {"conv1": 0.6, "conv2": 0.7}
    return [
        Interval(10 * n, 10 * n + 10, {"conv1": 1.0, "conv2": score}, untrained, moved)
        for n, (score, moved) in enumerate(what)
    ]


CALM, SHAKY, MOVING = (0.95, 0.02), (0.5, 0.02), (0.95, 0.5)


@pytest.mark.parametrize(
    ("what", "step"),
    [
        ([SHAKY, CALM, CALM], 10),
        ([CALM, CALM], 0),
        ([CALM, SHAKY, CALM], 20),
        ([CALM, MOVING, CALM], 20),
        ([CALM, CALM, SHAKY], None),
        ([CALM, CALM, MOVING], None),
        ([SHAKY, (0.95, None)], 10),
        ([CALM, (None, 0.0)], None),
        ([CALM, (0.9, 0.1)], 0),  # the bounds count as calm
    ],
)
def test_a_freeze_is_safe_from_where_all_that_follows_is_calm(what, step):
    assert settled(rows(*what), RULE) == step
    said = verdict(rows(*what), RULE, None)
    assert (said["step"], said["known"]) == (step, True)


@pytest.mark.parametrize(("score", "calm"), [(0.99, False), (0.994, False), (0.996, True), (1.0, True)])
def test_a_high_score_says_nothing_where_an_untrained_network_has_one(score, calm):
    assert (RULE.changes(Interval(0, 10, {"conv2": score}, {"conv2": 0.99}, 0.0)) == []) == calm


def test_it_is_said_in_words():
    def said(*what, frozen_at=50):
        return verdict(rows(*what), RULE, frozen_at)["text"]

    assert said(SHAKY, CALM, CALM) == (
        "A freeze would have been safe from step 10 on: the last 2 of 3 intervals to step 30 are calm. "
        "The run froze at step 50."
    )
    assert said(CALM, (0.5, 0.5), frozen_at=None) == (
        "A freeze would not have been safe by step 20: from step 10 to 20 conv2 had an SVCCA of 0.50 and attention "
        "moved by 0.50. The run has not frozen."
    )
    assert said(CALM, (None, 0.0)).count("conv2 gave the same for all observations") == 1
    assert said(CALM) == (
        "Whether a freeze would have been safe cannot be told: snapshots show the stem in training over 1 interval, "
        "and 2 are the least. The run froze at step 50."
    )
    high = Interval(0, 10, {"conv2": 0.9912}, {"conv2": 0.995}, None)
    assert RULE.changes(high) == ["conv2 had an SVCCA of 0.991 (an untrained network 0.995)"]
