"""The results file: a JSON object a line, one for each trained cell or baseline, added to over several runs."""

import json
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "icl_results.jsonl"
RESAMPLES = 2000


def bootstrap(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean over prompts, and the 95 % interval of the mean over resampled prompts."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return round(float(values.mean()), 5), round(float(low), 5), round(float(high), 5)


def tail_scores(scores: np.ndarray, counts: np.ndarray, last: int) -> np.ndarray:
    """(prompts): the score over the last targets that count."""
    tail, weight = scores[:, -last:], counts[:, -last:]
    return (tail * weight).sum(1) / weight.sum(1)


def summarize(scores: np.ndarray, counts: np.ndarray, last: int) -> dict:
    """scores and counts (prompts, P): the final score over the last targets that count, and the score at each target."""
    final, low, high = bootstrap(tail_scores(scores, counts, last))
    curve = (scores * counts).sum(0) / np.maximum(counts.sum(0), 1)
    shown = [round(float(v), 5) if n > 0 else None for v, n in zip(curve, counts.sum(0))]
    return {"final": final, "low": low, "high": high, "curve": shown}


def add(line: dict, file: Path = RESULTS) -> None:
    with file.open("a") as out:
        print(json.dumps(line), file=out)


def read(file: Path = RESULTS) -> list[dict]:
    """All lines; of one training (task, architecture, seed, how it was trained, and for how long that was planned) the one with the most steps."""
    best: dict[tuple, dict] = {}
    for text in file.read_text().splitlines() if file.exists() else []:
        line = json.loads(text)
        how = (line.get(name) for name in ("seed", "search", "curriculum", "lr", "tag", "planned"))
        key = (line["task"], line["architecture"], *how)
        if key not in best or line.get("steps", 0) >= best[key].get("steps", 0):
            best[key] = line
    return list(best.values())


def setups(results: list[dict], tasks: list[str]) -> list[tuple[str, str, list[dict]]]:
    """(name, task, lines): a task's trainings with its curriculum and, by themselves, those without; baselines stand in both."""
    found = []
    for task in tasks:
        lines = [line for line in results if line["task"] == task and not line.get("search")]
        for name, curriculum in ((task, True), (f"{task}-no-curriculum", False)):
            of = [line for line in lines if line.get("curriculum", curriculum) == curriculum]
            if any("steps" in line for line in of):
                found.append((name, task, of))
    return found
