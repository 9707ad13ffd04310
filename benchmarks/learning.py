"""Which variant learns most: games x seeds x variants (a study), trained where they are missing, and a report.

    python benchmarks/learning.py                            # trains what is missing, two at a time, then reports
    python benchmarks/learning.py --game road_runner --jobs 1
    python benchmarks/learning.py --report                   # reports what is there
    python benchmarks/learning.py --report --json --picture learning.png
    python benchmarks/learning.py --study benchmarks/table1.toml      # the paper's Table 1 at full length: hours

Each run has one thread. The runs are a sweep in --runs, which git ignores: those that differ only in what matters after
T_f train their beginning once, and after any end the same command goes on. What finished runs scored is kept in a JSON
file beside the study, which git holds; a run that is kept is not trained again, wherever it was trained. The report is
Markdown: interquartile means of human-normalised scores with stratified bootstrap intervals, at equal steps, equal
multiply-adds and equal wall time; the rule for defaults; and every evaluation of every run. A run's score is the mean
of its last three evaluations; at equal multiply-adds and wall time every run is read at what the cheapest variant had
spent at its last three, between its own evaluations.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import learning_report
import learning_results
from learning_runs import CHECKOUT, load, train

from edgerl import ConfigError
from edgerl.experiments.reports.formats.text import table_text


def main() -> None:
    """Train, then print the report; the exit code is that of the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path(__file__).with_suffix(".toml"), help="what is compared")
    parser.add_argument("--runs", type=Path, help="the folder of all runs (default: runs/, and the study's name)")
    parser.add_argument("--kept", type=Path, help="scores of finished runs, read and added to (default: the study's)")
    parser.add_argument("--game", action="append", default=[], help="only this game; may be given several times")
    parser.add_argument("--variant", action="append", default=[], help="only this variant; as --game")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: the study's)")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="also draw the learning curves, as a PNG")
    args = parser.parse_args()
    whole = load(args.study)
    study = whole.only(args.game, args.variant)
    runs, file = args.runs or CHECKOUT / "runs" / args.study.stem, args.kept or args.study.with_suffix(".json")
    kept = learning_results.load_kept(file)
    ended = 0
    if not args.report:
        done = {cell.name for cell in study.cells() if learning_results.is_kept(cell, kept)}
        try:
            ended = train(study, whole, runs, done, jobs=args.jobs or study.jobs, quiet=args.json)
        except ConfigError as error:  # such as another sweep in the same folder
            sys.exit(f"learning.py: {error}")
    results, unfinished = learning_results.read(study, runs, kept)
    if not args.report:
        learning_results.keep(results, kept, file)
    about, tables = learning_report.about(study), learning_report.tables(study, results, unfinished)
    if args.json:
        shown = {"about": about, "tables": [asdict(table) for table in tables], "runs": learning_report.plain(results)}
        print(json.dumps(shown, indent=1))
    else:
        print("\n\n".join([about, *map(table_text, tables)]))
    if args.picture is not None and results:
        import learning_picture

        args.picture.write_bytes(learning_picture.picture(study, results))
    sys.exit(ended)


if __name__ == "__main__":
    main()
