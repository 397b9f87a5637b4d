"""The ten tasks of the in-context-learning study, each a batch of prompts at a time on any device.

A prompt is (T, inputs) vectors; what the model says at position `read[i]` is its prediction of target i. In most tasks
the vectors are x1, (y1, 0, …), x2, …, so that read is 0, 2, 4, …; MQAR has vector values, chain of thought has its hidden
layer between x and y, and the mixture has points alone and asks for a density.

After Garg et al. 2022 and Park et al. 2024 (krafton-ai/mambaformer-icl), but for the mixture, which is this project's.
Curriculum: `dims` and `points` are tensors, so that a captured step follows them: coordinates from `dims` on are zero and
targets from `points` on do not count.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

Tensor = torch.Tensor


@dataclass
class Prompts:
    tokens: Tensor  # (B, T, inputs)
    targets: Tensor  # (B, P, channels) that the outputs at `read` are compared with
    clean: Tensor  # (B, P) 1 where a target counts
    facts: Tensor | None = None  # what drew the prompt, where an evaluation needs it


@dataclass(frozen=True)
class Task:
    name: str
    inputs: int
    outputs: int
    points: int
    draw: Callable  # (batch, dims, device, generator) → Prompts
    length: int  # T
    read: range  # positions of the predictions
    curriculum: tuple[int, int]  # first dims, first points
    scale: float = 1.0  # squared errors are divided by it
    chance: str = "squared"  # or "sign" (error rate), "density" (negative log-likelihood)
    last: int = 1  # the verdict looks at so many last targets


def _normal(*shape, device, generator):
    """generator: None, a torch.Generator, or icl_prompts.Counter."""
    if hasattr(generator, "normal"):
        return generator.normal(*shape)
    return torch.randn(*shape, device=device, generator=generator)


def _uniform(*shape, device, generator):
    if hasattr(generator, "uniform"):
        return generator.uniform(*shape)
    return torch.rand(*shape, device=device, generator=generator)


def _mask(x: Tensor, dims: Tensor) -> Tensor:
    return x * (torch.arange(x.shape[-1], device=x.device) < dims)


def _interleave(x: Tensor, y: Tensor) -> Tensor:
    """x1, y1, x2, …, xP from x (B, P, d) and y (B, P) or (B, P, d)."""
    if y.dim() == 2:
        y = torch.nn.functional.pad(y[..., None], (0, x.shape[-1] - 1))
    return torch.stack([x, y], 2).flatten(1, 2)[:, :-1]


def _regression(label: Callable, d: int = 20, points: int = 41) -> Callable:
    def draw(batch, dims, device, generator):
        x = _mask(_normal(batch, points, d, device=device, generator=generator), dims)
        y = label(x, dims, generator)
        return Prompts(_interleave(x, y), y[..., None], torch.ones_like(y))

    return draw


def linear(x, dims, generator):
    """y = w·x."""
    w = _mask(_normal(x.shape[0], x.shape[2], device=x.device, generator=generator), dims)
    return torch.einsum("bpd,bd->bp", x, w)


def sparse_linear(x, dims, generator):
    """The same, with three coordinates of w that are not zero."""
    batch, _, d = x.shape
    w = _normal(batch, d, device=x.device, generator=generator)
    score = _uniform(batch, d, device=x.device, generator=generator)
    score = score.masked_fill(torch.arange(d, device=x.device) >= dims, -1.0)
    kept = score >= score.topk(3, 1).values[:, -1:]
    return torch.einsum("bpd,bd->bp", x, w * kept)


def relu_network(x, dims, generator, hidden=100):
    """y = √(2/h) W2·relu(W1 x)."""
    batch, _, d = x.shape
    W1 = _normal(batch, d, hidden, device=x.device, generator=generator)
    W2 = _normal(batch, hidden, device=x.device, generator=generator)
    return math.sqrt(2 / hidden) * torch.einsum("bph,bh->bp", torch.relu(x @ W1), W2)


def decision_tree(x, dims, generator, depth=4):
    """Node n asks whether x[coordinate n] > 0 and goes to 2n+1 or 2n+2; leaves are N(0, 1)."""
    batch, points, _ = x.shape
    nodes = 2**depth - 1
    pick = _uniform(batch, nodes, device=x.device, generator=generator)
    coordinate = (pick * dims).long()
    leaves = _normal(batch, 2**depth, device=x.device, generator=generator)
    node = torch.zeros(batch, points, dtype=torch.long, device=x.device)
    for _ in range(depth):
        asked = torch.gather(coordinate, 1, node)
        right = torch.gather(x, 2, asked[..., None])[..., 0] > 0
        node = 2 * node + 1 + right.long()
    return torch.gather(leaves, 1, node - nodes)


def draw_orthogonal_outliers(batch, dims, device, generator, d=20, points=101, p=0.5):
    """Linear regression in which, with probability p, both vectors of a pair are a·u + b·v, u and v orthogonal to w."""
    x = _mask(_normal(batch, points, d, device=device, generator=generator), dims)
    w = _mask(_normal(batch, d, device=device, generator=generator), dims)
    y = torch.einsum("bpd,bd->bp", x, w)
    plane = _mask(_normal(batch, 2, d, device=device, generator=generator), dims)
    along = torch.einsum("bkd,bd->bk", plane, w) / (w * w).sum(1, keepdim=True)
    plane = plane - along[..., None] * w[:, None]
    ab = _normal(batch, points, 2, 2, device=device, generator=generator)
    fake = torch.einsum("bpik,bkd->bpid", ab, plane)
    out = _uniform(batch, points, device=device, generator=generator) < p
    out[:, -1] = False  # the last point is always asked for
    labels = torch.nn.functional.pad(y[..., None], (0, d - 1))
    x = torch.where(out[..., None], fake[:, :, 0], x)
    labels = torch.where(out[..., None], fake[:, :, 1], labels)
    return Prompts(_interleave(x, labels), y[..., None], (~out).float())


def draw_many_outliers(batch, dims, device, generator, d=20, points=512, p=0.9):
    """Linear regression in which, with probability p, a pair is x = (1, …, 1), y = (1, 0, …)."""
    x = _mask(_normal(batch, points, d, device=device, generator=generator), dims)
    w = _mask(_normal(batch, d, device=device, generator=generator), dims)
    y = torch.einsum("bpd,bd->bp", x, w)
    out = _uniform(batch, points, device=device, generator=generator) < p
    out[:, -1] = False
    x = torch.where(out[..., None], torch.ones_like(x), x)
    labels = torch.where(out, torch.ones_like(y), y)
    return Prompts(_interleave(x, labels), y[..., None], (~out).float())


def draw_sparse_parity(batch, dims, device, generator, d=10, points=140, k=2):
    """x in {−1, 1}^10, y the product of k of its first `dims` coordinates; the others are 0."""
    x = _mask(2.0 * (_uniform(batch, points, d, device=device, generator=generator) < 0.5) - 1, dims)
    score = _uniform(batch, d, device=device, generator=generator)
    chosen = score.masked_fill(torch.arange(d, device=device) >= dims, -1.0).topk(k, 1).indices
    y = torch.gather(x, 2, chosen[:, None].expand(-1, points, -1)).prod(2)
    return Prompts(_interleave(x, y), y[..., None], torch.ones_like(y))


def draw_retrieval(batch, dims, device, generator, d=20, pairs=64, asked=16):
    """Vector-valued MQAR: 48 pairs of unit-norm keys and N(0, I) values, then 16 of the keys again, whose values are to be said.

    Of the pairs the first 48·dims/d are there, and the others are zero: fewer dimensions would make the keys harder to tell apart.
    """
    known = pairs - asked
    there = torch.arange(known, device=device) * d < known * dims
    keys = torch.nn.functional.normalize(_normal(batch, known, d, device=device, generator=generator), dim=2)
    keys = keys * math.sqrt(d) * there[:, None]
    values = _normal(batch, known, d, device=device, generator=generator) * there[:, None]
    score = _uniform(batch, known, device=device, generator=generator)
    order = score.masked_fill(~there, -1.0).sort(1, descending=True).indices
    # Where there are fewer pairs than questions, some are asked again.
    again = order[:, torch.arange(asked, device=device) % there.sum()]
    pick = again[..., None].expand(-1, -1, d)
    x = torch.cat([keys, torch.gather(keys, 1, pick)], 1)
    y = torch.cat([values, torch.gather(values, 1, pick)], 1)
    counts = (torch.arange(pairs, device=device) >= known).float().expand(batch, -1)
    return Prompts(_interleave(x, y), y, counts)


COT_HIDDEN, COT_DIMS = 4, 10


def draw_chain_of_thought(batch, dims, device, generator, points=51):
    """y = v·s, s = relu(W x), with s shown between x and y: x1, s1, y1, x2, … Targets are s then y, point by point."""
    d, h = COT_DIMS, COT_HIDDEN
    x = _mask(_normal(batch, points, d, device=device, generator=generator), dims)
    W = _normal(batch, d, h, device=device, generator=generator) / math.sqrt(d)
    v = _normal(batch, h, device=device, generator=generator)
    s = torch.relu(x @ W)
    y = torch.einsum("bph,bh->bp", s, v)
    pad = torch.nn.functional.pad
    tokens = torch.stack([x, pad(s, (0, d - h)), pad(y[..., None], (0, d - 1))], 2).flatten(1, 2)[:, :-1]
    targets = torch.stack([s, pad(y[..., None], (0, h - 1))], 2).flatten(1, 2)
    return Prompts(tokens, targets, torch.ones(batch, 2 * points, device=device))


MIXTURE_MODES, MIXTURE_SPREAD, MIXTURE_WIDTH, MIXTURE_DIMS = 4, 2.0, 0.4, 2
MIXTURE_PARTS = 8  # components of the predicted density, each 1 logit, 2 means, 2 log deviations


def draw_mixture(batch, dims, device, generator, points=100):
    """Points of a mixture of 4 equal Gaussians in the plane (deviation 0.4), whose means are N(0, 2²): predict the next one's density."""
    means = MIXTURE_SPREAD * _normal(batch, MIXTURE_MODES, MIXTURE_DIMS, device=device, generator=generator)
    mode = (_uniform(batch, points + 1, device=device, generator=generator) * MIXTURE_MODES).long()
    x = torch.gather(means, 1, mode[..., None].expand(-1, -1, MIXTURE_DIMS))
    x = x + MIXTURE_WIDTH * _normal(batch, points + 1, MIXTURE_DIMS, device=device, generator=generator)
    return Prompts(x[:, :-1], x[:, 1:], torch.ones(batch, points, device=device), means)


def _pairs(points: int) -> tuple[int, range]:
    return 2 * points - 1, range(0, 2 * points - 1, 2)


def _task(name, draw, points=41, inputs=20, outputs=1, curriculum=(3, 11), **more) -> Task:
    length, read = _pairs(points)
    return Task(name, inputs, outputs, points, draw, length, read, curriculum, **more)


LONG = (3, 26)
TASKS = {
    task.name: task
    for task in (
        _task("linear", _regression(linear), scale=20),
        _task("sparse-linear", _regression(sparse_linear), scale=3),
        _task("relu-network", _regression(relu_network, points=101), points=101, curriculum=LONG, scale=20),
        _task("decision-tree", _regression(decision_tree, points=101), points=101, curriculum=(1, 26)),
        _task("orthogonal-outliers", draw_orthogonal_outliers, points=101, curriculum=LONG, scale=20),
        _task("many-outliers", draw_many_outliers, points=512, curriculum=(3, 128), scale=20),
        _task("sparse-parity", draw_sparse_parity, points=140, inputs=10, curriculum=(4, 140), chance="sign", last=20),
        _task("retrieval", draw_retrieval, points=64, outputs=20, curriculum=(2, 64), last=16),
        Task("chain-of-thought", COT_DIMS, COT_HIDDEN, 102, draw_chain_of_thought, 152, range(0), (5, 22)),
        Task(
            "mixture", MIXTURE_DIMS, 5 * MIXTURE_PARTS, 100, draw_mixture, 100, range(100), (2, 100), chance="density", last=20,
        ),
    )
}


def read_positions(task: Task) -> list[int]:
    """Chain of thought says s after each x, and y after each s."""
    if task.name == "chain-of-thought":
        return [p for p in range(task.length) if p % 3 != 2]
    return list(task.read)


def density(outputs: Tensor, x: Tensor) -> Tensor:
    """ln of the predicted density at x (…, 2): a mixture of Gaussians with independent coordinates."""
    logits, means, logs = outputs.split([MIXTURE_PARTS, 2 * MIXTURE_PARTS, 2 * MIXTURE_PARTS], -1)
    means, logs = (v.unflatten(-1, (MIXTURE_PARTS, 2)) for v in (means, logs.clamp(-4, 4)))
    z = (x[..., None, :] - means) * torch.exp(-logs)
    parts = -0.5 * z.square().sum(-1) - logs.sum(-1) - math.log(2 * math.pi)
    return torch.logsumexp(torch.log_softmax(logits, -1) + parts, -1)


def losses(task: Task, outputs: Tensor, prompts: Prompts) -> Tensor:
    """(B, P): squared errors, divided by the task's scale, averaged over a vector's channels; or −ln p."""
    if task.chance == "density":
        return -density(outputs, prompts.targets)
    seen = outputs[..., : prompts.targets.shape[-1]]
    error = (seen - prompts.targets).square()
    if task.name == "chain-of-thought":
        # Every second target is y, in the first channel alone.
        is_y = torch.arange(error.shape[1], device=error.device) % 2 == 1
        return torch.where(is_y, error[..., 0], error.mean(-1))
    return error.mean(-1) / task.scale


def scores(task: Task, outputs: Tensor, prompts: Prompts) -> Tensor:
    """(B, P) as reported: the losses, but for parity the error of the sign."""
    if task.chance == "sign":
        return (torch.sign(outputs[..., 0]) != prompts.targets[..., 0]).float()
    return losses(task, outputs, prompts)
