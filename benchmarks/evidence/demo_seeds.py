"""The demonstration on many seeds: how many of its answers equal the truth.

Run: ``python -m benchmarks.evidence.demo_seeds --seeds 20``; seed 0 is the demonstration's own.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from sclineage._provenance import versions
from sclineage.demo import compare, demo

RESULTS = Path(__file__).parents[1] / "results" / "demo_seeds.md"


def run(seed: int, scenario: str) -> list[dict[str, object]]:
    """Answers of one seed."""
    with tempfile.TemporaryDirectory() as folder:
        demo(folder, scenario=scenario, seed=seed)
        return compare(Path(folder) / "input" / "truth" / "expected.csv", folder)


def markdown(scenario: str, answers: dict[int, list[dict[str, object]]]) -> str:
    """One row per question, with the seeds that got it wrong."""
    lines = [f"# Demonstration `{scenario}` on {len(answers)} seeds", "",
             f"Seeds {min(answers)} to {max(answers)}; sclineage {versions()['sclineage']}. Research use only.", "",
             "| question | truth | right | wrong seeds (found) |", "| --- | --- | --- | --- |"]
    for k, first in enumerate(next(iter(answers.values()))):
        wrong = [f"{seed} ({rows[k]['found']})" for seed, rows in answers.items() if not rows[k]["right"]]
        truth = str(first["expected"]).replace("|", " or ")
        lines.append(f"| {first['question']} | {truth} | {len(answers) - len(wrong)} of {len(answers)} | "
                     f"{', '.join(wrong) or 'none'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all seeds; the table is rewritten after each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--scenario", default="index_case")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    answers: dict[int, list[dict[str, object]]] = {}
    for seed in range(args.first, args.first + args.seeds):
        answers[seed] = run(seed, args.scenario)
        args.out.write_text(markdown(args.scenario, answers))


if __name__ == "__main__":
    main()
