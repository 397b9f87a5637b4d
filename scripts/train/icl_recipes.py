"""How each task is trained: learning rates, precision and schedule, and why. All architectures get the same of everything but the rate."""

from dataclasses import dataclass, field

# Half of what was best in the search on linear regression (README.md), since a long training has many more steps at the full rate; S4 has a
# third and a bit of it, and S4-Mamba all, where the rates around are as good. GPT-2 has no gate that keeps it from diverging: at 1e-3 and
# 5e-4 it begins alike, and once dimensions grow the lower rate is ahead (after 5,500 steps 0.829 against 0.869 on trees).
RATES = {"transformer": 5e-4, "s4d": 3e-3} | dict.fromkeys(("mamba", "s4-mamba", "standard-hybrid", "mambaformer"), 2e-3)

# Where the others' rates are halved.
SAME = {"transformer": RATES["transformer"]}


@dataclass(frozen=True)
class Recipe:
    precision: str = "tf32"  # of the layers' matrices (attention: bf16), or "bf16" of all that is in a layer but the norms
    slower: float = 1.0  # the rates are divided by it
    rates: dict[str, float] = field(default_factory=dict)  # of some architectures, instead
    warmup: int = 1000  # steps
    decay: float = 0.3  # the last part of the steps, in which the rate falls to 0 in a line
    hold: float = 0.1  # the first part of the steps, in which dimensions and points stay as few as they begin
    curriculum: float = 0.5  # the part at whose end all are there
    batch: int = 64  # prompts


# The rate stays up and falls late: tasks that are learned after a plateau are learned at the full rate, and a cosine spends half of its
# steps below that. It also makes --steps free to change until the decay begins.
#
# The curriculum begins where the plateau is short. A Transformer of 0.1 M parameters left it after 1,000 steps with 8 pairs to retrieve,
# or 5 dimensions of linear regression (rate 1e-3), and one of 1.2 M parameters did not in 17,000 steps that began with 16 pairs at half
# that rate: what is learned with little to tell apart only has to be sharpened later. Growth waits until the plateau should be over:
# pairs that grew from 5 to 24 from the first step on outran it, and with 1,250 steps of 5 pairs before that all 24 were learned. A tenth
# of the steps should thus be no fewer: train for 15,000 at least.
RECIPES = {
    # A label is a coarse thing (a sign, a leaf, one of 48 values), and a step of hundreds of vectors is bound by memory: bf16 halves it.
    # Parity has no signal below its k coordinates. With 4 dimensions there are 6 functions to tell apart and not 45, so that the plateau
    # is short, and what tells them apart is the same at 10.
    "sparse-parity": Recipe(precision="bf16", slower=2, rates=SAME, curriculum=0.4),
    # 5 pairs first: one of few is found soon even by attention that is uniform yet.
    "retrieval": Recipe(precision="bf16", slower=2, rates={"transformer": 1e-3}),
    # With one dimension a tree has two leaves that are ever reached.
    "decision-tree": Recipe(precision="bf16", slower=2, rates=SAME),
    "orthogonal-outliers": Recipe(precision="bf16", slower=2, rates=SAME),
    # 1,023 vectors a prompt.
    "many-outliers": Recipe(precision="bf16", slower=2, rates=SAME, batch=32),
}

# At 2e-3 MambaFormer ended far off on a few prompts of linear regression (median error 0.003, mean 0.03), and Mamba, which had done well in
# 15,501 steps, lost all it had learned after 15,000 of 35,851; on sparse functions after 8,500 of 13,425.
REGRESSION = Recipe(rates={"mamba": 1e-3, "mambaformer": 1e-3})


def recipe(task: str) -> Recipe:
    """Regressions: their errors go to 1e-3 and below, and their prompts are short."""
    return RECIPES.get(task, REGRESSION)


def rate_at(plan: Recipe, peak: float, step: int, steps: int) -> float:
    left = 1 - step / steps
    return peak * min(1.0, (step + 1) / plan.warmup, left / plan.decay if plan.decay else 1.0)


def grown(plan: Recipe, step: int, steps: int) -> float:
    """How much of the curriculum is behind: 0 at its beginning, 1 when all dimensions and points are there."""
    if plan.curriculum <= plan.hold:
        return 1.0
    return min(1.0, max(0.0, (step / steps - plan.hold) / (plan.curriculum - plan.hold)))
