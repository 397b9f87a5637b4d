"""Trains cells of the in-context-learning study, several at a time on one GPU, and adds their evaluations to the results file.

    python3 scripts/train/icl.py --task sparse-parity --architecture transformer mamba mambaformer --steps 60000 --seconds 520 --out CELLS
    python3 scripts/train/icl.py --task linear --architecture all --search 1e-4 3e-4 1e-3 --steps 3000 --seconds 520 --out SEARCH
    python3 scripts/train/icl.py --baselines

A cell is a task and an architecture; all architectures have the same number of parameters within 15 %. Every cell is a whole
training step (drawing prompts, forward, backward, clipping, Adam) captured as one CUDA graph on a stream of its own, and the streams
run side by side. A call ends after --seconds; called again it goes on from OUT/<cell>.pt until --steps are done. A cell that is done,
or the time up, is evaluated on 1,280 prompts that are the same for all, and OUT/<cell>/ gets a checkpoint in the official layout with a
golden.json. With --search every architecture trains once for each rate, and OUT/rates.json, which later calls read, gets the best.
"""

import argparse
import json
import math
import time
from pathlib import Path

import icl_results
import numpy as np
import torch
from icl_baselines import baseline_scores, mixture_scores
from icl_models import ARCHITECTURES, InContextModel, matched_depth, parameters
from icl_tasks import TASKS, Prompts, Task, losses, read_positions, scores
from safetensors.torch import save_file

EVALUATION_PROMPTS, EVALUATION_SEED = 1280, 20_240
GOLDEN_PROMPTS = 4
RATES = {"transformer": 5e-4, "s4d": 2e-3, "s4-mamba": 1e-3} | dict.fromkeys(("mamba", "standard-hybrid", "mambaformer"), 1e-3)
CURRICULUM_PART = 0.3  # of the steps, after which dimensions and points are all there
WARMUP = 500
WARM_RUNS = 3
SAVE_EVERY = 120  # seconds


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", default=[], help=f"of {', '.join(TASKS)}, or all")
    parser.add_argument("--architecture", nargs="+", default=["all"], help=f"of {', '.join(ARCHITECTURES)}, or all")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--parameters", type=int, default=1_200_000)
    parser.add_argument("--seconds", type=float, default=500, help="of training in this call, for all cells together")
    parser.add_argument("--lr", type=float, help="default: OUT/rates.json, else a table")
    parser.add_argument("--search", type=float, nargs="+", help="learning rates to try")
    parser.add_argument("--width", type=int, help="another width, for checks")
    parser.add_argument("--prompts", type=int, default=EVALUATION_PROMPTS, help="fewer, for checks")
    parser.add_argument("--out", type=Path, help="folder of the cells")
    parser.add_argument("--results", type=Path, default=icl_results.RESULTS)
    parser.add_argument("--short", type=int, default=20_000, help="cells of fewer steps are marked so")
    parser.add_argument("--baselines", action="store_true", help="evaluate what needs no training")
    args = parser.parse_args()
    for name, known in (("task", TASKS), ("architecture", ARCHITECTURES)):
        chosen = getattr(args, name)
        if chosen == ["all"]:
            setattr(args, name, list(known))
        elif unknown := [c for c in chosen if c not in known]:
            parser.error(f"--{name} {unknown[0]} is not one of {', '.join(known)}")
    if not args.baselines and (not args.task or args.out is None):
        parser.error("--task and --out are missing")
    return args


class Cell:
    """One training. Everything that a step reads is a tensor, so that a captured step can be replayed."""

    def __init__(self, task: Task, architecture: str, seed: int, lr: float, args: argparse.Namespace, device: str):
        self.task, self.architecture, self.seed, self.lr, self.args, self.device = task, architecture, seed, lr, args, device
        self.name = f"{task.name}.{architecture}.{seed}" + (f".{lr:g}" if args.search else "")
        torch.manual_seed(seed)
        depth = 2 if args.width else matched_depth(architecture, args.parameters)
        self.model = InContextModel(architecture, depth, task.inputs, task.outputs, task.length, args.width).to(device)
        self.cuda = device == "cuda"
        self.rate = torch.zeros((), device=device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=self.rate if self.cuda else lr, betas=(0.9, 0.98), capturable=self.cuda, foreach=self.cuda
        )
        self.dims = torch.zeros((), device=device, dtype=torch.long)
        self.points = torch.zeros((), device=device, dtype=torch.long)
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
    def done(self) -> bool:
        return self.step >= self.args.steps

    def follow_schedule(self) -> None:
        progress = self.step / self.args.steps
        rate = self.lr * min(1.0, (self.step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        grown = min(1.0, progress / CURRICULUM_PART)
        first_dims, first_points = self.task.curriculum
        self.dims.fill_(round(first_dims + grown * (self.task.inputs - first_dims)))
        self.points.fill_(round(first_points + grown * (self.task.points - first_points)))
        self.rate.fill_(rate)
        if not self.cuda:
            self.optimizer.param_groups[0]["lr"] = rate

    def train_step(self) -> None:
        prompts = self.task.draw(self.args.batch, self.dims, self.device, None)
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
        self.rate.zero_()
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


def evaluation_prompts(task: Task, count: int, device: str) -> Prompts:
    """The same for every architecture, run and kind of machine: drawn on the CPU."""
    generator = torch.Generator().manual_seed(EVALUATION_SEED)
    prompts = task.draw(count, torch.tensor(task.inputs), "cpu", generator)
    facts = None if prompts.facts is None else prompts.facts.to(device)
    return Prompts(prompts.tokens.to(device), prompts.targets.to(device), prompts.clean.to(device), facts)


def piece(prompts: Prompts, first: int, end: int) -> Prompts:
    return Prompts(prompts.tokens[first:end], prompts.targets[first:end], prompts.clean[first:end])


@torch.no_grad()
def evaluate(cell: Cell, size: int = 64) -> dict:
    prompts = evaluation_prompts(cell.task, cell.args.prompts, cell.device)
    found, own = [], []
    for at in range(0, len(prompts.tokens), size):
        part = piece(prompts, at, at + size)
        outputs = cell.model(part.tokens)[:, cell.read]
        found.append(scores(cell.task, outputs, part))
        if cell.task.name == "chain-of-thought":
            # The last y once more, after the model's own s in place of the true one.
            tokens = part.tokens.clone()
            tokens[:, -1, : outputs.shape[-1]] = outputs[:, -2]
            y = cell.model(tokens)[:, -1, 0]
            own.append((y - part.targets[:, -1, 0]).square())
    line = icl_results.summarize(torch.cat(found).cpu().numpy(), prompts.clean.cpu().numpy(), cell.task.last)
    if own:
        mean, low, high = icl_results.bootstrap(torch.cat(own).cpu().numpy())
        line |= {"own_steps": {"final": mean, "low": low, "high": high}}
    return line


@torch.no_grad()
def export(cell: Cell) -> None:
    """The official layout, with predictions of the first evaluation prompts to compare another implementation with."""
    folder = cell.args.out / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in cell.model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(cell.model.config(), indent=1))
    prompts = evaluation_prompts(cell.task, GOLDEN_PROMPTS, cell.device)
    outputs = cell.model(prompts.tokens).cpu()
    golden = {"kind": "vectors", "source": "PyTorch", "cases": []}
    for tokens, said in zip(prompts.tokens.cpu(), outputs):
        golden["cases"].append({"vectors": tokens.tolist(), "outputs": said.tolist()})
    if cell.task.outputs == 1:
        golden |= {"kind": "in-context-learning", "cases": []}
        for tokens, said in zip(prompts.tokens.cpu(), outputs):
            ys = [row.tolist() for row in tokens[1::2]] + [[0.0]]  # the last y is never read
            golden["cases"].append({"xs": tokens[0::2].tolist(), "ys": ys, "predictions": said[0::2].tolist()})
    (folder / "golden.json").write_text(json.dumps(golden))


def train(cells: list[Cell], seconds: float, log_every: int) -> None:
    for cell in cells:
        if cell.cuda and not cell.done:
            cell.capture()
    start = time.monotonic()
    marks = {cell.name: cell.step for cell in cells}
    before = {cell.name: cell.seconds for cell in cells}
    saved = start
    while time.monotonic() - start < seconds and not all(cell.done for cell in cells):
        running = [cell for cell in cells if not cell.done]
        for _ in range(log_every):
            for cell in running:
                if not cell.done:
                    cell.advance()
        for cell in running:
            mean = cell.note(marks[cell.name])
            marks[cell.name] = cell.step
            cell.seconds = before[cell.name] + time.monotonic() - start
            print(f"{cell.name} step {cell.step} of {cell.args.steps}, loss {mean:.5f}, {cell.seconds:.0f} s", flush=True)
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            for cell in running:
                cell.save()


def finish(cells: list[Cell]) -> None:
    for cell in cells:
        cell.save()
        export(cell)
        line = {"task": cell.task.name, "architecture": cell.architecture, "seed": cell.seed, "lr": cell.lr, "steps": cell.step}
        line |= {"planned": cell.args.steps, "seconds": round(cell.seconds, 1), "beside": len(cells) - 1, "batch": cell.args.batch}
        line |= {"parameters": parameters(cell.model), "prompts": cell.args.prompts, "short": cell.step < cell.args.short}
        line |= {"device": torch.cuda.get_device_name() if cell.cuda else "cpu", "search": bool(cell.args.search)}
        line |= evaluate(cell)
        icl_results.add(line, cell.args.results)
        print({k: v for k, v in line.items() if k != "curve"}, flush=True)


def choose_rates(cells: list[Cell], out: Path) -> None:
    """The rate with the lowest training loss at the end."""
    rates = json.loads((out / "rates.json").read_text()) if (out / "rates.json").exists() else {}
    for architecture in {cell.architecture for cell in cells}:
        tried = [cell for cell in cells if cell.architecture == architecture and cell.log]
        rates[architecture] = min(tried, key=lambda cell: np.mean([loss for _, loss in cell.log[-3:]])).lr
    (out / "rates.json").write_text(json.dumps(rates, indent=1))
    print("rates:", rates)


def baselines(args: argparse.Namespace, device: str) -> None:
    for task in (TASKS[name] for name in args.task or TASKS):
        prompts = evaluation_prompts(task, args.prompts, device)
        counts = prompts.clean.cpu().numpy()
        if task.chance == "density":
            for name, found in mixture_scores(prompts).items():
                line = icl_results.summarize(found.cpu().numpy(), counts, task.last)
                icl_results.add({"task": task.name, "architecture": name, "prompts": args.prompts, **line}, args.results)
            continue
        # All points would take hours where there are hundreds.
        few = sorted({*range(0, task.points, max(1, task.points // 20)), *range(task.points - task.last, task.points)})
        for name, found in baseline_scores(task, prompts, few).items():
            line = icl_results.summarize(found.cpu().numpy(), counts[:, few], task.last)
            line |= {"task": task.name, "architecture": name, "prompts": args.prompts, "examples": few}
            icl_results.add(line, args.results)
            print(task.name, name, line["final"], flush=True)


def main() -> None:
    args = parse_arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.baselines:
        baselines(args, device)
        return
    torch.backends.cuda.matmul.allow_tf32 = True
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = args.out / "rates.json"
    rates = RATES | (json.loads(chosen.read_text()) if chosen.exists() else {})
    cells = [
        Cell(TASKS[task], architecture, seed, lr, args, device)
        for task in args.task
        for architecture in args.architecture
        for seed in args.seed
        for lr in args.search or [args.lr or rates[architecture]]
    ]
    print(f"{len(cells)} cells on {device}", {cell.name: parameters(cell.model) for cell in cells}, flush=True)
    train(cells, args.seconds, log_every=100 if device == "cuda" else 5)
    if args.search:
        choose_rates(cells, args.out)
    finish(cells)


if __name__ == "__main__":
    main()
