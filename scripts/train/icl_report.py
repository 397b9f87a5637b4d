"""The results of the in-context-learning study as a table (Markdown, on stdout), as plots (SVG, one a task) and as study.json.

    python3 scripts/train/icl_report.py --out PLOTS > TABLE.md
"""

import argparse
import json
import math
from pathlib import Path

import icl_results
import icl_study
from icl_tasks import TASKS

ARCHITECTURES = ("transformer", "mamba", "s4d", "s4-mamba", "standard-hybrid", "mambaformer")
TITLES = dict(zip(ARCHITECTURES, ("Transformer", "Mamba", "S4", "S4-Mamba", "Standard Hybrid", "MambaFormer")))
BASELINES = ("least squares", "3-nearest", "averaging", "lasso", "true mixture", "marginal")
# Transformer, Mamba, MambaFormer, in the paper.
PAPER = {
    "linear": "ok, ok, ok",
    "sparse-linear": "ok, ok, ok",
    "relu-network": "ok, ok, ok",
    "decision-tree": "ok, weak, ok",
    "orthogonal-outliers": "ok, weak, ok",
    "many-outliers": "weak, ok, ok",
    "sparse-parity": "fails, ok, ok",
    "retrieval": "ok, fails, ok",
    "chain-of-thought": "ok, ok, ok",
    "mixture": "–",
}
SOLVED_BELOW, FAILED_ABOVE = {"sparse-parity": 0.05, "retrieval": 0.1}, {"sparse-parity": 0.4, "retrieval": 0.5}
# Of each curve on light and on dark ground: a plot is shown on whatever the page has behind it.
LIGHT = ("#1f6fb0", "#c9302c", "#8c564b", "#c0408f", "#1f8a1f", "#7d4fb3", "#111111", "#666666", "#8a7000", "#00727f", "#111111", "#a04000")
DARK = ("#6db3f2", "#ff8a80", "#d0a294", "#f29ad0", "#6fd36f", "#c4a2ee", "#f2f2f2", "#b0b0b0", "#e0c04a", "#5fd0e6", "#f2f2f2", "#f0a060")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 280, 60, 18, 12, 48
COLUMN, ROW = 200, 20  # of the legend, which lies below: beside the plot it would make its letters small
TOGETHER = 8  # points of a curve of hundreds that are drawn as their mean


def verdict(task: str, line: dict) -> str:
    """Solved or failed where the study draws the line."""
    if task not in SOLVED_BELOW:
        return ""
    if line["final"] < SOLVED_BELOW[task]:
        return " solved"
    return " failed" if line["final"] > FAILED_ABOVE[task] else " neither"


def cell(task: str, lines: list[dict], architecture: str) -> str:
    """Of several attempts the best: whether it can be learned is the question."""
    found = [line for line in lines if line["architecture"] == architecture]
    if not found:
        return "–"
    line = min(found, key=lambda line: line["final"])
    seeds = f", best of {len(found)}" if len(found) > 1 else ""
    steps = f", {'short: ' if line.get('short') else ''}{line['steps']:,} steps" if "steps" in line else ""
    mark = verdict(task, line) if architecture in ARCHITECTURES else ""
    return f"{line['final']:.4f} ({line['low']:.4f}–{line['high']:.4f}){mark}{seeds}{steps}"


def table(results: list[dict]) -> str:
    """What was trained beside the paper's verdicts, and, where the results have it, a second table of what needs no training."""
    setups = icl_results.setups(results, list(PAPER))
    trained = rows(setups, ARCHITECTURES, ("paper: Transformer, Mamba, MambaFormer", PAPER))
    by_task = {task: (task, task, lines) for _, task, lines in setups}  # baselines are the same with and without a curriculum
    known = [setup for setup in by_task.values() if any(line["architecture"] in BASELINES for line in setup[2])]
    return "\n".join([*trained, *(["", *rows(known, BASELINES)] if known else [])])


def rows(setups: list[tuple], columns: tuple[str, ...], last: tuple[str, dict[str, str]] | None = None) -> list[str]:
    """Lines of Markdown; columns of which nothing is known are left out. last: a heading, and what to say of each task."""
    shown = [c for c in columns if any(line["architecture"] == c for _, _, lines in setups for line in lines)]
    text = [["task", *(TITLES.get(c, c) for c in shown), *(last or ())[:1]], ["---"] * (len(shown) + (2 if last else 1))]
    for name, task, lines in setups:
        text.append([name.replace("-", " "), *(cell(task, lines, c) for c in shown), *([last[1][task]] if last else [])])
    return [f"| {' | '.join(row)} |" for row in text]


def points(line: dict) -> list[tuple[float, float]]:
    """(examples, score); of hundreds of examples, means over TOGETHER of them: one prompt's noise at every point would be a band."""
    examples = line.get("examples") or range(len(line["curve"]))
    found = [(n, value) for n, value in zip(examples, line["curve"]) if value is not None]
    if len(found) < 200:
        return found
    groups = [found[at : at + TOGETHER] for at in range(0, len(found), TOGETHER)]
    return [tuple(sum(column) / len(group) for column in zip(*group)) for group in groups]


def tick(low: float, high: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that goes at most five times into what is shown."""
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    return next(power * of for of in (1, 2, 5, 10) if power * of * 5 >= (high - low) * (1 - 1e-9))


def style() -> str:
    """An SVG shown as an image knows nothing of its page but whether it is dark."""

    def rules(text: str, grid: str, colors: tuple[str, ...]) -> str:
        curves = "".join(f".c{i}{{stroke:{color}}}" for i, color in enumerate(colors))
        return f"text{{fill:{text}}}.grid{{stroke:{grid}}}{curves}"

    dark = rules("#c3cabd", "#31372f", DARK)
    return f"<style>{rules('#464b43', '#dcd8cc', LIGHT)}@media (prefers-color-scheme: dark){{{dark}}}</style>"


def plot(setup: str, lines: list[dict]) -> str:
    """Error against the number of examples in the prompt; of several attempts the best."""
    best: dict[str, dict] = {}
    for line in lines:
        kept = best.get(line["architecture"])
        if kept is None or line["final"] < kept["final"]:
            best[line["architecture"]] = line
    curves = {name: points(best[name]) for name in (*ARCHITECTURES, *BASELINES) if name in best}
    values = [value for curve in curves.values() for _, value in curve]
    counts = [n for curve in curves.values() for n, _ in curve]
    least, most = min(counts), max(counts)
    # Errors begin at 0, and what is far above saying nothing is cut: least squares peaks where examples and dimensions are as many. A
    # log-likelihood has no such ends.
    density = TASKS[lines[0]["task"]].chance == "density"
    low = math.floor(min(values)) if density else 0.0
    first = max(curve[0][1] for name, curve in curves.items() if name in ARCHITECTURES)
    high = max(values) if density else min(max(values), max(1.0, 1.5 * first)) or 1.0
    between = tick(low, high)
    high = low + between * math.ceil(round((high - low) / between, 6))
    measure = "−ln p" if density else "error"

    def x(n: float) -> float:
        return LEFT + (n - least) / max(1, most - least) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - min(value, high)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    columns = WIDTH // COLUMN
    whole = HEIGHT + ROW * -(-len(curves) // columns) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole}" font-family="sans-serif" font-size="14">',
        f"<title>{setup}: {measure} by the number of examples in the prompt</title>",
        style(),
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">{measure}</text>',
        f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">examples in the prompt</text>',
    ]
    for i in range(round((high - low) / between) + 1):
        value = low + i * between
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    step = tick(least, most)
    for n in range(math.ceil(least / step), math.floor(most / step) + 1):
        parts.append(f'<text x="{x(n * step):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n * step:g}</text>')
    for i, (name, curve) in enumerate(curves.items()):
        curve_class = f"c{(*ARCHITECTURES, *BASELINES).index(name) % len(LIGHT)}"
        dash = ' stroke-dasharray="5 3"' if name in BASELINES else ""
        path = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in curve)
        # Each narrower than the one before, so that of curves that lie on one another all are seen.
        wide = 1.5 if name in BASELINES else max(1.5, 4.5 - 0.5 * i)
        parts.append(f'<polyline points="{path}" fill="none" class="{curve_class}" stroke-width="{wide:g}"{dash}/>')
        left, at = 6 + COLUMN * (i % columns), HEIGHT + 14 + ROW * (i // columns)
        parts.append(f'<path d="M{left} {at - 5}h18" class="{curve_class}" stroke-width="{wide:g}"{dash}/>')
        note = " (short)" if best[name].get("short") else ""
        parts.append(f'<text x="{left + 23}" y="{at}" font-size="13">{TITLES.get(name, name)}{note}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=icl_results.RESULTS)
    parser.add_argument("--out", type=Path, help="folder for the plots and study.json; without it there are none")
    args = parser.parse_args()
    results = [line for line in icl_results.read(args.results) if not line.get("search")]
    if not icl_results.setups(results, list(PAPER)):
        parser.error(f"{args.results} holds no trained cells yet, other than a search's: train some with icl.py first")
    print(table(results))
    if args.out is None:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    for name, _, lines in icl_results.setups(results, list(PAPER)):
        (args.out / f"{name}.svg").write_text(plot(name, lines))
    study = icl_study.study(results, PAPER, SOLVED_BELOW, FAILED_ABOVE)
    (args.out / "study.json").write_text(json.dumps(study, indent=2) + "\n")


if __name__ == "__main__":
    main()
