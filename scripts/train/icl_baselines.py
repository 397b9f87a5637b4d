"""What needs no training, on the same prompts: least squares, 3 nearest neighbours, averaging, Lasso; and a mixture's own density."""

import math

import torch
from icl_tasks import MIXTURE_SPREAD, MIXTURE_WIDTH, Prompts, Task

Tensor = torch.Tensor


def least_squares(x: Tensor, y: Tensor, clean: Tensor, i: int) -> Tensor:
    """The shortest w that fits the examples so far best. Here and below: x (B, P, d), y (B, P, channels), clean (B, P) → (B, channels)."""
    X, Y = (x[:, :i] * clean[:, :i, None]).double(), (y[:, :i] * clean[:, :i, None]).double()
    # In f64 the normal equations lose nothing that is seen here.
    gram = X.transpose(1, 2) @ X
    w = torch.linalg.pinv(gram, rtol=1e-10, hermitian=True) @ (X.transpose(1, 2) @ Y)
    return torch.einsum("bd,bdc->bc", x[:, i].double(), w).float()


def nearest(x: Tensor, y: Tensor, clean: Tensor, i: int, k: int = 3) -> Tensor:
    """The mean y of the k nearest examples, weighted by the inverse of their distance."""
    distance = (x[:, :i] - x[:, i : i + 1]).norm(dim=2).masked_fill(clean[:, :i] == 0, 1e9)
    near = distance.topk(min(k, i), largest=False)
    weight = 1 / (near.values + 1e-6)
    found = torch.gather(y, 1, near.indices[..., None].expand(-1, -1, y.shape[2]))
    return (found * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)


def averaging(x: Tensor, y: Tensor, clean: Tensor, i: int) -> Tensor:
    """w = the mean of y·x."""
    weight = clean[:, :i]
    w = torch.einsum("bpc,bpd->bdc", y[:, :i] * weight[..., None], x[:, :i]) / weight.sum(1).clamp(min=1)[:, None, None]
    return torch.einsum("bd,bdc->bc", x[:, i], w)


def lasso(x: Tensor, y: Tensor, clean: Tensor, i: int, alpha: float = 0.1, steps: int = 200) -> Tensor:
    """min ½/i ‖y − x w‖² + alpha ‖w‖₁ by accelerated proximal gradients (FISTA), each channel by itself."""
    X, Y = x[:, :i] * clean[:, :i, None], y[:, :i] * clean[:, :i, None]
    gram = X.transpose(1, 2) @ X / i
    toward = X.transpose(1, 2) @ Y / i
    rate = 1 / torch.linalg.eigvalsh(gram)[:, -1:, None].clamp(min=1e-6)
    w = v = torch.zeros_like(toward)
    t = 1.0
    for _ in range(steps):
        new = v - rate * (gram @ v - toward)
        new = torch.sign(new) * (new.abs() - rate * alpha).clamp(min=0)
        grown = (1 + math.sqrt(1 + 4 * t * t)) / 2
        v, w, t = new + (t - 1) / grown * (new - w), new, grown
    return torch.einsum("bd,bdc->bc", x[:, i], w)


BASELINES = {"least squares": least_squares, "3-nearest": nearest, "averaging": averaging, "lasso": lasso}


def examples(task: Task, prompts: Prompts) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and which examples are clean. A chain of thought is to be guessed from x alone: its steps are the models' help."""
    if task.name == "chain-of-thought":
        return prompts.tokens[:, 0::3], prompts.targets[:, 1::2, :1], prompts.clean[:, 1::2]
    # Of retrieval only the questions count, but the pairs before them are examples.
    clean = torch.ones_like(prompts.clean) if task.name == "retrieval" else prompts.clean
    return prompts.tokens[:, 0::2], prompts.targets, clean


def baseline_scores(task: Task, prompts: Prompts, counts: list[int]) -> dict[str, Tensor]:
    """By name (B, len(counts)): scores with so many examples, in the task's own measure; outliers are known to them as such."""
    x, y, clean = examples(task, prompts)
    found = {}
    for name, predict in BASELINES.items():
        columns = []
        for i in counts:
            guess = predict(x, y, clean, i) if i > 0 else torch.zeros_like(y[:, 0])
            if task.chance == "sign":
                columns.append((torch.sign(guess) != y[:, i]).float()[:, 0])
            else:
                columns.append((guess - y[:, i]).square().mean(1) / task.scale)
        found[name] = torch.stack(columns, 1)
    return found


def mixture_scores(prompts: Prompts) -> dict[str, Tensor]:
    """−ln p of each next point under the prompt's own mixture, and under the marginal over all mixtures."""
    x, means = prompts.targets, prompts.facts
    square = (x[:, :, None] - means[:, None]).square().sum(-1)
    variance = MIXTURE_WIDTH**2
    true = torch.logsumexp(-square / (2 * variance), 2) - math.log(means.shape[1]) - math.log(2 * math.pi * variance)
    wide = variance + MIXTURE_SPREAD**2
    marginal = -x.square().sum(-1) / (2 * wide) - math.log(2 * math.pi * wide)
    return {"true mixture": -true, "marginal": -marginal}
