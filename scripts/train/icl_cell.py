"""One training of the in-context-learning study: a task and an architecture, stepped as a CUDA graph on a stream of its own."""

import argparse
from pathlib import Path

import torch
from icl_models import InContextModel, matched_depth
from icl_recipes import grown, rate_at, recipe
from icl_tasks import Task, losses, read_positions

WARM_RUNS = 3


class Cell:
    """Everything that a step reads is a tensor, so that a captured step can be replayed."""

    def __init__(self, task: Task, architecture: str, seed: int, lr: float, args: argparse.Namespace, device: str, curriculum: bool = True, times: int = 1):
        """times: steps a round of all cells, which is a step of those that have one."""
        self.curriculum, self.times = curriculum, times
        self.task, self.architecture, self.seed, self.lr, self.args, self.device = task, architecture, seed, lr, args, device
        how = ["" if curriculum else "no-curriculum", args.tag, f"{lr:g}" if args.search else ""]
        self.name = ".".join([task.name, architecture, str(seed), *(part for part in how if part)])
        self.recipe = recipe(task.name)
        self.batch = args.batch or self.recipe.batch
        self.precision = args.precision or (self.recipe.precision if device == "cuda" else "f32")
        torch.manual_seed(seed)
        depth = 2 if args.width else matched_depth(architecture, args.parameters)
        self.model = InContextModel(
            architecture, depth, task.inputs, task.outputs, task.length, args.width, args.position_noise
        ).to(device)
        self.cuda = device == "cuda"
        self.rate = torch.zeros((), device=device)
        options = {"capturable": True, "fused": args.fused, "foreach": not args.fused} if self.cuda else {}
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=self.rate if self.cuda else lr, betas=(0.9, 0.98), **options
        )
        self.dims = torch.zeros((), device=device, dtype=torch.long)
        self.points = torch.zeros((), device=device, dtype=torch.long)
        self.scheduled: dict[str, float] = {}
        self.read = torch.tensor(read_positions(task), device=device)
        self.loss = torch.zeros((), device=device)
        self.total = torch.zeros((), device=device)
        self.step, self.seconds, self.log = 0, 0.0, []
        self.stream = torch.cuda.Stream() if self.cuda else None
        self.graph = None
        if self.file.exists():
            self.restore()

    @property
    def file(self) -> Path:
        return self.args.out / f"{self.name}.pt"

    @property
    def steps(self) -> int:
        return self.args.steps * self.times

    @property
    def done(self) -> bool:
        return self.step >= self.steps

    def follow_schedule(self) -> None:
        part = grown(self.recipe, self.step, self.steps) if self.curriculum else 1.0
        first_dims, first_points = self.task.curriculum
        rate = rate_at(self.recipe, self.lr, self.step, self.steps)
        self._schedule("dims", round(first_dims + part * (self.task.inputs - first_dims)))
        self._schedule("points", round(first_points + part * (self.task.points - first_points)))
        self._schedule("rate", rate)
        if not self.cuda:
            self.optimizer.param_groups[0]["lr"] = rate

    def _schedule(self, name: str, value: float) -> None:
        """A launch only where something changes: the host launches for all cells."""
        if self.scheduled.get(name) != value:
            getattr(self, name).fill_(value)
            self.scheduled[name] = value

    def train_step(self) -> None:
        prompts = self.task.draw(self.batch, self.dims, self.device, None)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            outputs = self.model(prompts.tokens).index_select(1, self.read)
        counts = prompts.clean * (torch.arange(self.task.points, device=self.device) < self.points)
        loss = (losses(self.task, outputs, prompts) * counts).sum() / counts.sum().clamp(min=1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0, foreach=self.cuda)
        self.optimizer.step()
        self.loss.copy_(loss.detach())
        self.total += self.loss

    def capture(self) -> None:
        """Warm runs at rate 0 change Adam's moments but no weight; the moments, and what was summed, are put back after."""
        before = [p.detach().clone() for p in self.model.parameters()]
        moments = self.optimizer.state_dict() if self.step else None
        kept = None if moments is None else {k: {n: v.clone() for n, v in s.items()} for k, s in moments["state"].items()}
        self.follow_schedule()
        self._schedule("rate", 0.0)
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_RUNS):
                self.train_step()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.train_step()
        with torch.no_grad():
            for p, old in zip(self.model.parameters(), before):
                p.copy_(old)
            for i, p in enumerate(self.model.parameters()):
                for name, value in self.optimizer.state[p].items():
                    value.copy_(kept[i][name]) if kept else value.zero_()
            self.total.zero_()
        torch.cuda.synchronize()

    def advance(self) -> None:
        if self.cuda:
            with torch.cuda.stream(self.stream):
                self.follow_schedule()
                self.graph.replay()
        else:
            self.follow_schedule()
            self.train_step()
        self.step += 1

    def note(self, since: int) -> float:
        """Logs the mean loss of the steps since; waits for this cell."""
        if self.stream is not None:
            self.stream.synchronize()
        mean = self.total.item() / max(1, self.step - since)
        self.total.zero_()
        self.log.append([self.step, round(mean, 5)])
        if mean != mean:
            raise FloatingPointError(f"{self.name}: the loss is not a number at step {self.step}: lower its rate")
        return mean

    def save(self) -> None:
        parts = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**parts, "step": self.step, "seconds": self.seconds, "log": self.log, "lr": self.lr}, self.file)

    def restore(self) -> None:
        saved = torch.load(self.file, map_location=self.device, weights_only=True)
        if saved["lr"] != self.lr:
            raise ValueError(f"{self.file} was trained at {saved['lr']}, not {self.lr}: give --lr {saved['lr']} or another --out")
        self.model.load_state_dict(saved["model"])
        groups = self.optimizer.param_groups[0]["lr"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.optimizer.param_groups[0]["lr"] = groups  # the tensor that the captured step reads
        self.step, self.seconds, self.log = saved["step"], saved["seconds"], saved["log"]
        torch.manual_seed(self.seed + 1_000_003 * self.step)  # prompts that were not drawn before
