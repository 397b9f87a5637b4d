"""How each task is trained: learning rates, precision and schedule, and why. All architectures get the same of everything but the rate."""

from dataclasses import dataclass

# From the search on linear regression, where the highest rate that was tried, 3e-3, was best after 3,000 steps; long trainings get less,
# since their steps at the full rate are many more. GPT-2 has no gate that keeps it from diverging and takes half.
RATES = {"transformer": 1e-3, "s4d": 3e-3} | dict.fromkeys(("mamba", "s4-mamba", "standard-hybrid", "mambaformer"), 2e-3)


@dataclass(frozen=True)
class Recipe:
    precision: str = "tf32"  # of the layers' matrices (attention: bf16), or "bf16" of all that is in a layer but the norms
    slower: float = 1.0  # the rates are divided by it
    warmup: int = 1000  # steps
    decay: float = 0.3  # the last part of the steps, in which the rate falls to 0 in a line
    curriculum: float = 0.3  # the first part of the steps, in which dimensions and points grow


# The rate stays up and falls late: tasks that are learned after a plateau are learned at the full rate, and a cosine spends half of its
# steps below that. It also makes --steps free to change until the decay begins.
RECIPES = {
    # A label is a coarse thing (a sign, a leaf, one of 48 values), and a step of hundreds of vectors is bound by memory: bf16 halves it.
    # Parity has no signal below its k coordinates. With 4 dimensions there are 6 functions to tell apart and not 45, so that the plateau
    # is short, and what tells them apart is the same at 10.
    "sparse-parity": Recipe(precision="bf16", slower=2, curriculum=0.4),
    # 16 pairs first: one of 16 is found sooner than one of 48 by attention that is uniform yet.
    "retrieval": Recipe(precision="bf16", slower=2, curriculum=0.2),
    "decision-tree": Recipe(precision="bf16", slower=2),
    "orthogonal-outliers": Recipe(precision="bf16", slower=2),
    "many-outliers": Recipe(precision="bf16", slower=2),
}


def recipe(task: str) -> Recipe:
    """Regressions: their errors go to 1e-3 and below, and their prompts are short."""
    return RECIPES.get(task, Recipe())


def rate_at(plan: Recipe, peak: float, step: int, steps: int) -> float:
    left = 1 - step / steps
    return peak * min(1.0, (step + 1) / plan.warmup, left / plan.decay if plan.decay else 1.0)
