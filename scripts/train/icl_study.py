"""What the page says of the study: study.json, its numbers as icl_report.py shows them and the sizes of the six architectures."""

import icl_models
import icl_results
from icl_recipes import recipe
from icl_s4 import S4_STATE
from icl_tasks import TASKS

SCALE = 1_200_000  # parameters, icl.py's default
TASK = "linear"  # whose vectors the sizes are for: what the page's board is drawn with
MEASURES = {"sign": "share of wrong signs", "squared": "squared error", "density": "nats a point"}


def sizes(architecture: str) -> dict:
    """As the engine's package has them (worker/engine/architectures/in-context.ts); 0 where no layer needs one."""
    task, d = TASKS[TASK], icl_models.WIDTH[architecture]
    depth = icl_models.matched_depth(architecture, SCALE)
    layers = {
        "transformer": ["attention", "mlp"] * depth,
        "mamba": ["mamba"] * depth,
        "s4d": ["s4d"] * depth,
        "s4-mamba": ["s4-mamba"] * depth,
        "standard-hybrid": ["attention", "mamba"] * (depth // 2),
        "mambaformer": ["mamba"] + ["attention", "mamba"] * (depth // 2),
    }[architecture]
    attention, scan, gated = "attention" in layers, "mamba" in layers, bool({"mamba", "s4-mamba"} & set(layers))
    learned = architecture in ("transformer", "standard-hybrid")
    state = icl_models.D_STATE if scan else S4_STATE if {"s4d", "s4-mamba"} & set(layers) else 0
    return {
        "inputs": task.inputs, "outputs": task.outputs, "dim": d, "layers": " ".join(layers),
        "positions": task.length + (not learned) if attention else 0, "learnedPositions": learned,
        "heads": icl_models.HEADS if attention else 0, "hidden": 4 * d if "mlp" in layers else 0,
        "inner": 2 * d if gated else 0, "state": state, "conv": icl_models.D_CONV if gated else 0,
        "dtRank": icl_models.DT_RANK if scan else 0, "eps": 1e-5,
    }  # fmt: skip


def shortest(line: dict) -> dict:
    kept = {name: line[name] for name in ("final", "low", "high")}
    return {"name": line["architecture"]} | kept | ({"steps": line["steps"], "short": bool(line.get("short"))} if "steps" in line else {})


def within(lines: dict[str, dict]) -> dict[str, int]:
    """By architecture the examples from which on its error stays within 1.3 times least squares' + 0.02; without those where it never does.

    Least squares is exact from as many examples as dimensions on, so that fewer than one more are not looked at.
    """
    first = TASKS[TASK].inputs + 1
    known = lines["least squares"]
    exact = {n: error for n, error in zip(known["examples"], known["curve"]) if n >= first}
    if any(exact.values()):
        raise ValueError(f"least squares is not exact beyond {first - 1} examples of {TASK}")
    found = {}
    for name in icl_models.ARCHITECTURES:
        curve = lines[name]["curve"] if name in lines else []
        beyond = [n for n in range(first, len(curve)) if curve[n] > 0.02]
        if curve and (beyond[-1:] or [0])[0] < len(curve) - 1:
            found[name] = beyond[-1] + 1 if beyond else first
    return found


def study(results: list[dict], paper: dict[str, str], solved: dict[str, float], failed: dict[str, float]) -> dict:
    """Of several attempts the best. results: lines of icl_results.jsonl without the search's; paper: verdicts by task."""
    tasks = []
    for name, task, found in icl_results.setups(results, list(paper)):
        best: dict[str, dict] = {}
        for line in found:
            kept = best.get(line["architecture"])
            if kept is None or line["final"] < kept["final"]:
                best[line["architecture"]] = line
        solved_from = {"withinFrom": within(best)} if name == TASK and "least squares" in best else {}
        models = [shortest(best.pop(name)) for name in icl_models.ARCHITECTURES if name in best]
        if not models:
            continue
        words = {name: word for name, word in zip(("transformer", "mamba", "mambaformer"), paper[task].split(", ")) if word != "–"}
        known = {"task": name, "measure": MEASURES[TASKS[task].chance], "last": TASKS[task].last, "paper": words}
        lines = {"solvedBelow": solved[task], "failedAbove": failed[task]} if task in solved else {}
        tasks.append(known | lines | solved_from | {"models": models, "baselines": [shortest(line) for line in best.values()]})
    first, points = TASKS[TASK].curriculum
    plan = recipe(TASK)
    training = {
        "inputs": TASKS[TASK].inputs, "points": TASKS[TASK].points, "firstInputs": first, "firstPoints": points,
        "hold": plan.hold, "curriculum": plan.curriculum,
    }  # fmt: skip
    architectures = [{"name": name, "sizes": sizes(name)} for name in icl_models.ARCHITECTURES]
    return {"board": training, "architectures": architectures, "tasks": tasks}
