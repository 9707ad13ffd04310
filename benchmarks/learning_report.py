"""The report of benchmarks/learning.py: tables over the runs of a study."""

import math
from typing import Any

import numpy as np
from learning_results import Result, Score, scores
from learning_runs import Cell, Study, Variant

from edgerl import ConfigError
from edgerl.envs.human_scores import References, references
from edgerl.experiments.reports.estimates import Estimate, estimate, iqm
from edgerl.experiments.reports.groups import LAST_EVALUATIONS
from edgerl.experiments.reports.tables import Table, interval, score_text
from edgerl.runs.metrics import LAST_GAMES

BELOW = "†"  # marks a score below that of random play
EQUAL = {  # by axis: how a table says it
    "steps": "equal steps",
    "flops": "equal multiply-adds",
    "minutes": "equal wall time",
}


def about(study: Study) -> str:
    """How to read the tables."""
    return (
        f"A run's score is the mean of its last {LAST_EVALUATIONS} evaluations. At equal multiply-adds and equal wall "
        "time it is the mean of readings at what the cheapest variant of the game had spent at these evaluations, each "
        "interpolated linearly between the run's own evaluations. IQM: the interquartile mean of human-normalised "
        "scores (0: random play, 1: a human tester; Wang et al. 2016, Table 2) over games and seeds, with 95% "
        "intervals of 2,000 bootstrap resamples of seeds within each game. In the columns of games: the interquartile "
        "mean over the seeds (of three seeds, the mean) in points, with its interval. TFLOP: 10^12 multiply-adds by "
        "the paper's convention. Minutes are wall time, evaluations included; those of a beginning that runs share "
        "count in each, and those of runs whose folders are gone are not known. Runs were trained "
        f"{study.jobs} at a time, each on one thread: other work on the machine slows them. "
        f"{BELOW}: below random play; such a score ranks nothing."
    )


def tables(study: Study, results: list[Result], unfinished: list[tuple[Cell, str]]) -> list[Table]:
    """The whole report."""
    shown = []
    for games in _sets_of_games(study):
        variants = [variant for variant in study.variants if set(games) <= set(variant.games)]
        shown += [_together(study, variants, games, results, axis) for axis in EQUAL]
        if games == study.games:
            shown.append(_rule(study, results))
    shown += [_game(study, game, results) for game in study.games]
    return [table for table in [*shown, _not_finished(unfinished)] if table.rows]


def _not_finished(unfinished: list[tuple[Cell, str]]) -> Table:
    """The runs that are in no other table: a row for those of a variant and a game that lack the same."""
    seeds: dict[tuple[str, str, str], list[str]] = {}
    for cell, why in unfinished:
        seeds.setdefault((cell.game, cell.variant.name, why), []).append(str(cell.seed))
    rows = [[f"{game}/{name}", ", ".join(own), why] for (game, name, why), own in seeds.items()]
    return Table("Not finished", ["run", "seeds", "why"], rows)


def _sets_of_games(study: Study) -> list[tuple[str, ...]]:
    """All games; then each smaller set that some variant is trained on."""
    smaller = [variant.games for variant in study.variants if set(variant.games) < set(study.games)]
    return list(dict.fromkeys([study.games, *smaller]))


def _together(study: Study, variants: list[Variant], games: tuple[str, ...], results: list[Result], axis: str) -> Table:
    """Every variant over these games, and game by game."""
    played = {variant.name: {game: scores(variant, game, results, axis) for game in games} for variant in variants}
    begun = {name: by_game for name, by_game in played.items() if any(by_game.values())}
    common = [game for game in games if begun and all(by_game[game] for by_game in begun.values())]
    rows = []
    for name, by_game in begun.items():
        strata = [np.array([[_normalised(game, score.value) for score in by_game[game]]]) for game in common]
        count = sum(map(len, by_game.values()))
        middle = _fraction(estimate(strata, iqm, np.random.default_rng(0))[0]) if common else "-"
        cells = [_cell(game, by_game[game], axis) for game in games]
        rows.append([name, f"{count} of {len(games) * len(study.seeds)}", middle, *cells])
    if rows:
        known = [_references(game) for game in games]
        rows.append(["random play", "", "0", *(score_text(game.random) for game in known)])
        rows.append(["human tester", "", "1", *(score_text(game.human) for game in known)])
    head = ["variant", "runs", "IQM [95%]", *games]
    title = f"{', '.join(games)}: at {EQUAL[axis]}"
    return Table(title, head, rows, " ".join([*_read_at(axis), *_over(common, games), *_marked(rows)]))


def _read_at(axis: str) -> list[str]:
    """What a table says of where its runs are read: sentences, or none where they are read at their ends."""
    if axis == "steps":
        return []
    cheapest = {"flops": "the cheapest", "minutes": "the fastest"}[axis]
    return [
        f"Runs are read at what {cheapest} variant of each game had spent at its last {LAST_EVALUATIONS} evaluations. "
        f"After `at`: the step of the last reading; in parentheses how many, if fewer than {LAST_EVALUATIONS}."
    ]


def _over(common: list[str], games: tuple[str, ...]) -> list[str]:
    """A sentence if not all games are in the IQM yet."""
    if list(games) == common:
        return []
    return [f"The IQM is over the games in which every variant here has a finished run: {', '.join(common) or 'none'}."]


def _cell(game: str, played: list[Score], axis: str) -> str:
    """A variant's scores in one game."""
    if not played:
        return "-"
    middle = _points(played)
    text = interval(middle) + (BELOW if middle.value < _references(game).random else "")
    if axis == "steps":
        return text
    step, count = max(score.step for score in played), min(score.count for score in played)
    return f"{text} at {step:,}" + (f" ({count})" if count < LAST_EVALUATIONS else "")


def _rule(study: Study, results: list[Result]) -> Table:
    """Which variants may become the default, by the rule that was fixed before the runs."""
    by_name = {variant.name: variant for variant in study.variants if variant.games == study.games}
    theirs = None if study.paper is None else by_name.get(study.paper)
    rows = []
    for variant in by_name.values() if theirs is not None else ():
        if variant is theirs:
            continue
        pairs = {game: [scores(side, game, results, "steps") for side in (variant, theirs)] for game in study.games}
        if not all(len(played) == len(study.seeds) for both in pairs.values() for played in both):
            rows.append([variant.name, "-", "-", "not all runs have finished"])
            continue
        own, paper = (_over_games({game: both[which] for game, both in pairs.items()}) for which in (0, 1))
        below = [game for game, (ours, papers) in pairs.items() if _lies_below(_points(ours), _points(papers))]
        rows.append(
            [
                variant.name,
                f"{own:.3f} against {paper:.3f}",
                ", ".join(below) or "none",
                "yes" if own > paper and not below else "no",
            ]
        )
    notes = (
        f"At equal steps, beside {study.paper}: a variant may become the default if its interquartile mean over all "
        "runs is higher and in no game the upper end of its interval is below the lower end of the other's."
    )
    return Table("The rule for defaults", ["variant", "IQM", "interval below in", "may become it"], rows, notes)


def _over_games(by_game: dict[str, list[Score]]) -> float:
    values = [_normalised(game, score.value) for game, played in by_game.items() for score in played]
    return float(iqm(np.array(values)))


def _points(played: list[Score]) -> Estimate:
    """The interquartile mean over the seeds in game points, with its interval."""
    return estimate([np.array([[score.value for score in played]])], iqm, np.random.default_rng(0))[0]


def _lies_below(lower: Estimate, upper: Estimate) -> bool:
    return lower.high is not None and upper.low is not None and lower.high < upper.low


def _game(study: Study, game: str, results: list[Result]) -> Table:
    """Every evaluation of every run of one game."""
    own = [result for variant in study.variants for result in results if result.cell.belongs_to(variant, game)]
    steps = sorted({int(step) for result in own for step in result.steps})
    known, rows = _references(game), []
    for result in own:
        by_step = dict(zip(result.steps.tolist(), result.scores.tolist(), strict=True))
        values = [*(by_step.get(step, np.nan) for step in steps), result.last]
        values.append(result.training_mean)
        cells = [score_text(value) + (BELOW if value < known.random else "") for value in values]
        spent = [f"{result.spent['flops'][-1] / 1e12:.3g}", score_text(result.spent["minutes"][-1])]
        rows.append([result.cell.variant.name, str(result.cell.seed), *cells, *spent])
    blank = [""] * len(steps)
    if rows:
        rows.append(["random play", "", *blank, score_text(known.random), score_text(known.random), "", ""])
        rows.append(["human tester", "", *blank, score_text(known.human), score_text(known.human), "", ""])
    head = ["variant", "seed", *(f"{step:,}" for step in steps), f"last {LAST_EVALUATIONS}"]
    head += [f"last {LAST_GAMES} training games", "TFLOP", "minutes"]
    notes = (
        "Mean scores of the games of each evaluation, without exploration, unclipped; training games have exploration."
    )
    return Table(f"{game}: every evaluation", head, rows, " ".join([notes, *_marked(rows)]))


def _marked(rows: list[list[str]]) -> list[str]:
    """The sentence on marked scores, if there is one."""
    marked = any(BELOW in cell for row in rows for cell in row)
    return [f"{BELOW}: below random play."] if marked else []


def _references(game: str) -> References:
    known = references(f"atari/{game}")
    if known is None:
        raise ConfigError(f"no scores of random play and of a human are known for {game}")
    return known


def _normalised(game: str, score: float) -> float:
    return _references(game).normalised(score)


def _fraction(middle: Estimate) -> str:
    ends = "" if middle.low is None or middle.high is None else f" [{middle.low:.3f}, {middle.high:.3f}]"
    return f"{middle.value:.3f}{ends}{BELOW if middle.value < 0 else ''}"


def plain(results: list[Result]) -> list[dict[str, Any]]:
    """Every evaluation of every run, for programs."""
    return [
        {
            "run": result.cell.name,
            "variant": result.cell.variant.name,
            "env": result.cell.env,
            "seed": result.cell.seed,
            "evaluations": [
                {"step": step, "score": score, "flops": flops, "minutes": None if math.isnan(minutes) else minutes}
                for step, score, flops, minutes in zip(
                    *(result.kept[name] for name in ("steps", "scores", "flops")), result.spent["minutes"], strict=True
                )
            ],
        }
        for result in results
    ]
