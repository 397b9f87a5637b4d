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


def study(results: list[dict], paper: dict[str, str], solved: dict[str, float], failed: dict[str, float]) -> dict:
    """Of several attempts the best. results: lines of icl_results.jsonl without the search's; paper: verdicts by task."""
    tasks = []
    for name, task, found in icl_results.setups(results, list(paper)):
        best: dict[str, dict] = {}
        for line in found:
            kept = best.get(line["architecture"])
            if kept is None or line["final"] < kept["final"]:
                best[line["architecture"]] = line
        models = [shortest(best.pop(name)) for name in icl_models.ARCHITECTURES if name in best]
        if not models:
            continue
        words = {name: word for name, word in zip(("transformer", "mamba", "mambaformer"), paper[task].split(", ")) if word != "–"}
        known = {"task": name, "measure": MEASURES[TASKS[task].chance], "last": TASKS[task].last, "paper": words}
        lines = {"solvedBelow": solved[task], "failedAbove": failed[task]} if task in solved else {}
        tasks.append(known | lines | {"models": models, "baselines": [shortest(line) for line in best.values()]})
    first, points = TASKS[TASK].curriculum
    plan = recipe(TASK)
    training = {
        "inputs": TASKS[TASK].inputs, "points": TASKS[TASK].points, "firstInputs": first, "firstPoints": points,
        "hold": plan.hold, "curriculum": plan.curriculum,
    }  # fmt: skip
    architectures = [{"name": name, "sizes": sizes(name)} for name in icl_models.ARCHITECTURES]
    return {"board": training, "architectures": architectures, "tasks": tasks}
