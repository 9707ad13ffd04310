"""The report's tables, for the page, Markdown and JSON."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgerl.envs.human_scores import References, human_normalised, is_below_random, references
from edgerl.experiments.reports.estimates import Estimate, estimate, iqm, mean
from edgerl.experiments.reports.groups import Group, budget_text, names, over_games
from edgerl.experiments.reports.reading import Run
from edgerl.runs.metrics import LAST_GAMES
from memory_budget import format_bytes

RANGE = 3  # seeds: the 2.5% and 97.5% of resampled means of as many, or fewer, are the lowest and the highest seed


@dataclass(frozen=True)
class Table:
    """A table for people, with `notes` below it. The first column has names, the others numbers."""

    title: str
    head: list[str]
    rows: list[list[str]]
    notes: str = ""


def scores(groups: list[Group]) -> Table:
    """The last evaluation of every variant of one environment, beside random play and a human tester."""
    head = ["variant", "seeds", "step", "mean [95%]", "IQM [95%]", "each seed", f"last {LAST_GAMES} training games"]
    rows = []
    for group in groups:
        if not group.steps:
            evaluated = any(run.summary["returns"] for run in group.runs)
            why = "never at the same step" if evaluated else "never evaluated"
            rows.append([group.name, str(len(group.runs)), why, "", "", "", ""])
            continue
        rows.append(
            [
                group.name,
                str(len(group.runs)),
                f"{group.steps[-1]:,}",
                interval(group.estimates(mean)[-1]),
                interval(group.estimates(iqm)[-1]),
                ", ".join(score_text(score) for score in group.scores[-1]),
                score_text(float(np.mean([run.training_mean(group.steps[-1]) for run in group.runs]))),
            ]
        )
    few = any(len(group.runs) == 1 for group in groups)
    notes = (
        "Scores of whole games without exploration, unclipped. Mean and interquartile mean (IQM) over the seeds, with "
        "95% percentile intervals of 2,000 bootstrap resamples of seeds."
        + (" One seed has no interval." if few else "")
        + few_seeds(len(group.runs) for group in groups)
        + f" Last {LAST_GAMES} training games: their mean, exploration included, over the seeds."
    )
    known = references(groups[0].env)
    if known is None:
        return Table("Scores at the end", head, rows, notes)
    for group, row in zip(groups, rows, strict=True):
        row.append(f"{known.normalised(float(np.mean(group.scores[-1]))):.3f}" if group.steps else "")
    notes = f"{notes} {below_random(groups)}".strip()
    return Table("Scores at the end", [*head, "human-normalised"], rows + _reference_rows(known), notes)


def few_seeds(counts: Iterable[int]) -> str:
    """A sentence, after a space, on the intervals of so few seeds; empty if there are none of so few."""
    if not any(1 < count <= RANGE for count in counts):
        return ""
    return (
        " The interval of two or three seeds is their range, which misses the mean of many seeds in about half or a "
        "quarter of all cases."
    )


def _reference_rows(known: References) -> list[list[str]]:
    """Rows of the table of scores: random play and a human tester, whose human-normalised scores are 0 and 1."""
    return [
        ["random play", "", "", score_text(known.random), "", "", "", "0"],
        ["human tester", "", "", score_text(known.human), "", "", "", "1"],
    ]


def below_random(groups: list[Group]) -> str:
    """A sentence that names the variants of an environment whose last mean score is below random play's, if any is."""
    known = references(groups[0].env)
    scored = [(group, float(np.mean(group.scores[-1]))) for group in groups if group.steps]
    below = [group.name for group, score in scored if is_below_random(group.env, score)]
    if known is None or not below:
        return ""
    whose = "all variants" if len(below) == len(groups) > 1 else "; ".join(below)
    return f"Below random play ({known.random:,.1f}), so that they rank nothing: the scores of {whose}."


def cost(groups: list[Group]) -> Table:
    """Capacity and cost of every variant of one environment: means over the seeds, but the highest memory."""
    rows = []
    for group in groups:
        summaries = [run.summary for run in group.runs]
        capacity = group.first.summary["capacity"]
        frozen = [summary for summary in summaries if summary["freeze"]["step"] is not None]
        minutes = [run.seconds / 60 for run in group.runs if not math.isnan(run.seconds)]
        rows.append(
            [
                group.name,
                budget_text(group.first),
                f"{_average(summaries, 'capacity', 'initial'):,.0f}",
                f"{_average(frozen, 'capacity', 'after_freeze'):,.0f}" if frozen else "-",
                f"{capacity['paper_initial']:,}" + (f" / {capacity['paper_after_freeze']:,}" if frozen else ""),
                f"{_average(summaries, 'replay', 'rows'):,.0f}",
                f"{_average(summaries, 'replay', 'bytes_per_row'):,.0f}",
                f"{_average(summaries, 'flops', 'total') / 1e12:,.3g}",
                f"{np.mean(minutes):,.1f}" if minutes else "-",
                _rate(summaries, "steps_per_s_before"),
                _rate(summaries, "steps_per_s_after") if frozen else "-",
                format_bytes(max(_peak(run) for run in group.runs)),
            ]
        )
    head = [
        "variant",
        "budget",
        "rows before T_f",
        "rows after T_f",
        "by the paper's count",
        "rows at the end",
        "bytes a row",
        "TFLOP",
        "minutes",
        "steps/s before",
        "steps/s after",
        "peak memory",
    ]
    notes = (
        "Rows that fit the budget before and after the freeze. Means are over the seeds that know the number: after "
        "T_f those that froze. TFLOP: 10^12 multiply-adds by the paper's convention. Minutes of wall time, evaluations "
        "included. Peak memory: the highest resident memory of any seed's process tree."
    )
    return Table("Capacity and cost", head, rows, " ".join([notes, *_chosen_freezes(groups)]))


def _chosen_freezes(groups: list[Group]) -> list[str]:
    """When the runs froze that chose it themselves (--freeze-at auto), and why: a sentence for each."""
    return [
        f"{group.name}, seed {run.config.run.seed}, froze at step {freeze['step']:,}: {freeze['why']}."
        for group in groups
        for run in group.runs
        if (freeze := run.summary["freeze"]).get("why") is not None
    ]


def beside_paper(by_env: dict[str, list[Group]], experiment: Any, scale: float) -> Table | None:
    """Our scores beside those that the paper prints for this experiment; None if it prints none."""
    rows = []
    for env, groups in by_env.items():
        for group in groups:
            theirs = experiment.printed.get(env, {}).get(group.name)
            if theirs and group.steps:
                ours = group.estimates(mean)[-1]
                known = references(env)
                rows.append(
                    [
                        f"{env}: {group.name}",
                        f"{theirs[0]:,.1f} ± {theirs[1]:,.1f}",
                        interval(ours),
                        str(len(group.runs)),
                        score_text(known.random) if known else "",
                        score_text(known.human) if known else "",
                    ]
                )
    if not rows:
        return None
    notes = "The paper's: mean ± standard deviation of five runs. Ours: mean [95% interval] over the seeds."
    if scale != 1:
        notes += f" Ours are runs of {scale:g} of the paper's length: they show the method, not the paper's scores."
    return Table("Beside the paper", ["", "the paper's", "ours", "seeds", "random play", "human"], rows, notes)


def all_games(by_env: dict[str, list[Group]]) -> Table | None:
    """Human-normalised scores of the variants that ran on several Atari games; None if there is no such variant.

    They are over the games that all of these have in common, if there are two or more; else over each one's own games,
    which the table names.
    """
    variants = [[group for group in variant if group.steps and references(group.env)] for variant in over_games(by_env)]
    variants = [variant for variant in variants if len(variant) > 1]
    if not variants:
        return None
    common = set.intersection(*({group.env for group in variant} for variant in variants))
    compared = len(common) > 1
    own = [[group for group in variant if not compared or group.env in common] for variant in variants]
    rows = []
    for name, games in zip(names([games[0].first for games in own]), own, strict=True):
        strata = [[human_normalised(group.env, score) for score in group.scores[-1]] for group in games]
        arrays = [np.array([scores], np.float64) for scores in strata]
        middle, average = (estimate(arrays, statistic, np.random.default_rng(0))[0] for statistic in (iqm, mean))
        told = str(len(games)) if compared else ", ".join(group.env for group in games)
        rows.append([name, told, str(sum(map(len, strata))), _fraction(middle), _fraction(average)])
    notes = (
        "Human-normalised: 0 is random play, 1 a human tester (Wang et al. 2016); what is below 0 ranks nothing. Raw "
        "scores of different games are never averaged. Games count alike, however many seeds each has. Intervals: 95%, "
        "seeds drawn again within each game (stratified bootstrap, 2,000 resamples)."
    )
    if compared and len(common) < len({group.env for variant in variants for group in variant}):
        notes += f" Over the games that all these variants have: {', '.join(sorted(common))}."
    return Table("All games together", ["variant", "games", "runs", "IQM [95%]", "mean [95%]"], rows, notes)


def score_text(value: float) -> str:
    """A score for reading: whole from 100 on, one or two decimals below; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def interval(score: Estimate) -> str:
    """An estimate for reading, its interval in brackets if it has one."""
    if score.low is None or score.high is None:
        return score_text(score.value)
    return f"{score_text(score.value)} [{score_text(score.low)}, {score_text(score.high)}]"


def _fraction(score: Estimate) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def _peak(run: Run) -> int:
    """The highest resident memory of a run, of its beginning too, which only the log of an older fork knows."""
    logged = run.metrics["memory/tree_peak_bytes"][1]
    return max(int(run.summary["memory"]["rss_peak"]), int(logged.max()) if len(logged) else 0)


def _average(summaries: list[dict[str, Any]], table: str, key: str) -> float:
    return float(np.mean([summary[table][key] for summary in summaries]))


def _rate(summaries: list[dict[str, Any]], key: str) -> str:
    """The mean of a speed over the runs that have it, or a dash."""
    known = [summary["throughput"][key] for summary in summaries if summary["throughput"][key]]
    return f"{np.mean(known):,.0f}" if known else "-"
