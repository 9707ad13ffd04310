"""CURL-SAC's and SAC's multiply-adds against the paper's Table 2 and formulas, at one action component."""

import pytest

from edgerl import configure
from edgerl.planning import flops

WINDOW = (9, 84, 84)
CONVOLUTIONS = {"conv1": 4_357_152, "conv2": 14_017_536, "conv3": 12_616_704, "conv4": 11_289_600}
FC = 1_960_050  # 39,200 features and a bias to 50, of actor and critic each
ACTOR = {"actor_fc2": 52_224, "actor_fc3": 1_049_600, "actor_out": 1025 * 2}  # a mean and a deviation
CRITIC = {"fc2": 53_248, "fc3": 1_049_600, "out": 1025}  # each of the two
CONVS, HEAD, Q = (sum(each.values()) for each in (CONVOLUTIONS, ACTOR, CRITIC))
ENCODER = 2 * (CONVS + FC)  # E N
K = 4


def counted(actions=1, *, keeps_pixels=False, **settings):
    config = configure(**{"env": "dmc/cartpole-swingup", "threads": 1} | settings)
    return flops.count(config, WINDOW, actions, keeps_pixels=keeps_pixels)


def by_hand(batch, *, contrast, frozen):
    """An update pass by pass, as the paper counts: every network that looks at a batch encodes it for itself.

    The actor is updated every second time; a backward pass is two forward ones.
    """
    passes = dict.fromkeys(("convolutions", "actor_fc", "critic_fc", "actor", "critics"), 0.0)

    def run(*parts, often=1.0):
        for part in parts:
            passes[part] += often

    run("convolutions", "actor_fc", "actor")  # a' ~ actor(s')
    run("convolutions", "critic_fc", "critics")  # the target's value of s', a'
    run("convolutions", "critic_fc", "critics")  # both critics' of s, a
    run("convolutions", "critic_fc", "critics", often=2)  # and back
    run("convolutions", "actor_fc", "actor", often=0.5)  # the actor's own action at s
    run("convolutions", "critic_fc", "critics", often=0.5)  # its value
    run("critics", "actor", "actor_fc", often=2 * 0.5)  # and back, but never into what is the critic's to encode
    if contrast:
        run("convolutions", "critic_fc", often=2)  # query and key
        run("convolutions", "critic_fc", often=2)  # back from the query
    sizes = {"actor": HEAD, "critics": 2 * Q}
    if not frozen:
        sizes |= {"convolutions": CONVS, "actor_fc": FC, "critic_fc": FC}
    latents = K * ENCODER if frozen else 0  # of the step's own window
    return batch * sum(passes[part] * size for part, size in sizes.items()) + latents


def test_the_layers_of_table_2():
    found = counted()
    own = {"actor_fc": FC, "critic_fc": FC}
    assert {layer.name: layer.flops for layer in found.stem} == CONVOLUTIONS | own
    critics = {f"{name}_{layer}": count for name in ("q1", "q2") for layer, count in CRITIC.items()}
    assert {layer.name: layer.flops for layer in found.tail} == ACTOR | critics
    assert found.heads == HEAD + 2 * Q


@pytest.mark.parametrize("actions", [1, 6, 38])
def test_actions_widen_the_critics_input_and_the_actors_output(actions):
    found = counted(actions).layers
    assert found["q1_fc2"] == found["q2_fc2"] == (50 + actions + 1) * 1024
    assert found["actor_out"] == 1025 * 2 * actions
    assert (found["actor_fc2"], found["q1_out"]) == (52_224, 1025)


@pytest.mark.parametrize("batch", [1, 128, 512])
@pytest.mark.parametrize("algo", ["curl", "sac"])
def test_an_update_is_the_sum_of_its_passes(algo, batch):
    found = counted(algo=algo, batch_size=batch)
    for frozen in (False, True):
        assert found.phases.at(frozen).per_update == int(by_hand(batch, contrast=algo == "curl", frozen=frozen))


def test_the_papers_formulas_in_round_numbers():
    found = counted()
    before, after, encoding = found.before.per_update, found.after.per_update, K * found.encoder
    assert before == pytest.approx(5.88e10, rel=1e-3)
    assert after - encoding == pytest.approx(1.91e9, rel=2e-3)
    assert encoding == pytest.approx(3.5e8, rel=2e-2)
    assert after / before == pytest.approx(0.0385, abs=5e-5)
    many = counted(batch_size=512)  # the encoding is of one window, however many are learned from
    assert many.after.per_update / many.before.per_update == pytest.approx(0.034, abs=5e-4)
    assert many.before.per_update == 4 * before
    assert many.after.per_update == 4 * (after - encoding) + encoding


def test_the_contrast_is_four_passes_and_ends_with_the_freeze():
    curl, sac = counted(algo="curl"), counted(algo="sac")
    assert curl.before.per_update - sac.before.per_update == 128 * 4 * (CONVS + FC)
    assert curl.after.per_update == sac.after.per_update
    assert curl.layers == sac.layers


@pytest.mark.parametrize("views", [1, K])
@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_every_row_is_converted_by_both_encoders_for_each_crop(rows, views):
    found = counted(augmentations=views)
    assert found.encoder == ENCODER
    assert found.conversion(rows) == views * 2 * (CONVS + FC) * rows
    assert counted(augmentations=views, keeps_pixels=True).conversion(rows) == 0


@pytest.mark.parametrize(("settings", "seen"), [
    ({}, K + 1),  # the centre is acted on, four crops are kept
    ({"augmentations": 1}, 2),
    ({"augmentations": 1, "random_crop": False}, 1),
])  # fmt: skip
def test_exactly_a_step_runs_the_convolutions_once_a_window_for_both_encoders(settings, seen):
    found = counted(**settings)
    assert found.after.acting == seen * (CONVS + 2 * FC) + HEAD
    assert found.before.acting == CONVS + FC + HEAD  # nothing asks the critics
