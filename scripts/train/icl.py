"""Trains cells of the in-context-learning study, several at a time on one GPU, and adds their evaluations to the results file.

    python3 scripts/train/icl.py --task sparse-parity --architecture transformer mamba mambaformer --steps 60000 --seconds 520 --out CELLS
    python3 scripts/train/icl.py --task linear --architecture all --search 1e-4 3e-4 1e-3 --steps 3000 --seconds 520 --out SEARCH
    python3 scripts/train/icl.py --cell retrieval:mamba:3 linear:all sparse-parity:all:no-curriculum --steps 60000 --fit --out CELLS
    python3 scripts/train/icl.py --baselines

A cell is a task and an architecture; all architectures have the same number of parameters within 15 %. Every cell is a whole
training step (drawing prompts, forward, backward, clipping, Adam) captured as one CUDA graph on a stream of its own, and the streams
run side by side; icl_recipes.py has rates and schedules. What is elementwise is compiled by Inductor; --no-compile leaves that out, and so
does a compiler that fails. --profile trains nothing: it prints a step's time for each cell alone, for all together, and where it goes.

A call ends after --seconds; called again it goes on from OUT/<cell>.pt until --steps are done. A cell that is done, or the time up, is
evaluated on 1,280 prompts that are the same for all, and OUT/<cell>/ gets a checkpoint in the official layout with a golden.json and an
evaluation.json. With --search every architecture trains once for each rate, and OUT/rates.json gets the best: a later call with the same
--out takes those in place of icl_recipes.py's.
"""

import argparse
import json
import os
import time
from functools import cache
from pathlib import Path

# Eight queues is CUDA's default: more streams than that wait for each other.
os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")

import icl_models
import icl_results
import icl_s4
import numpy as np
import torch
from icl_baselines import baseline_scores, examples, mixture_scores
from icl_cell import Cell
from icl_evaluate import evaluate, export, full_precision
from icl_models import ARCHITECTURES, parameters
from icl_profile import profile
from icl_prompts import COUNT, evaluation_prompts
from icl_recipes import RATES, recipe
from icl_tasks import TASKS

FIT_AFTER = 300  # steps, a multiple of what is logged together


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", default=[], help=f"of {', '.join(TASKS)}, or all")
    parser.add_argument("--architecture", nargs="+", default=["all"], help=f"of {', '.join(ARCHITECTURES)}, or all")
    cell_help = "TASK:ARCHITECTURE or TASK:all, as many as wanted; further parts: no-curriculum as the option, and N for N times --steps"
    parser.add_argument("--cell", nargs="+", default=[], help=cell_help)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--fit", action="store_true", help="as many of --steps as --seconds allow, by the time of the first 300 rounds; not for going on")
    parser.add_argument("--batch", type=int, help="prompts a step; default: the task's recipe")
    parser.add_argument("--parameters", type=int, default=1_200_000)
    parser.add_argument("--seconds", type=float, default=500, help="of training in this call, for all cells together")
    parser.add_argument("--save-every", type=float, default=120, help="seconds; 27 cells take 2")
    parser.add_argument("--lr", type=float, help="default: icl_recipes.py, with OUT/rates.json")
    parser.add_argument("--search", type=float, nargs="+", help="learning rates to try")
    parser.add_argument("--width", type=int, help="another width, for checks")
    parser.add_argument("--prompts", type=int, default=COUNT, help="fewer, for checks")
    parser.add_argument("--out", type=Path, help="folder of the cells")
    parser.add_argument("--results", type=Path, default=icl_results.RESULTS)
    parser.add_argument("--short", type=int, default=20_000, help="cells of fewer steps are marked so")
    parser.add_argument("--baselines", action="store_true", help="evaluate what needs no training")
    parser.add_argument("--tag", help="part of the cells' names: keeps attempts of one cell apart")
    parser.add_argument("--precision", choices=("f32", "tf32", "bf16"), help="default: the task's recipe")
    parser.add_argument("--position-noise", type=float, help="begin learned positions as noise (GPT-2: 0.02), not as sinusoids")
    parser.add_argument("--no-curriculum", dest="curriculum", action="store_false", help="all dimensions and points from the first step")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="without Inductor")
    parser.add_argument("--no-fused", dest="fused", action="store_false", help="without the fused Adam")
    parser.add_argument("--profile", action="store_true", help="print where a step's time goes, and stop")
    args = parser.parse_args()
    for name, known in (("task", TASKS), ("architecture", ARCHITECTURES)):
        chosen = getattr(args, name)
        if chosen == ["all"]:
            setattr(args, name, list(known))
        elif unknown := [c for c in chosen if c not in known]:
            parser.error(f"--{name} {unknown[0]} is not one of {', '.join(known)}")
    args.chosen = [(task, architecture, args.curriculum, 1) for task in args.task for architecture in args.architecture]
    for text in args.cell:
        task, architecture, *how = text.split(":") if ":" in text else (text, "")
        times = [int(part) for part in how if part.isdecimal() and int(part)]
        rest = [part for part in how if not part.isdecimal() or not int(part)]
        if task not in TASKS or architecture not in ("all", *ARCHITECTURES) or rest not in ([], ["no-curriculum"]) or len(times) > 1:
            parser.error(f"--cell {text} is not TASK:ARCHITECTURE, and after it at most :no-curriculum and :N, a whole number above 0")
        named = ARCHITECTURES if architecture == "all" else [architecture]
        args.chosen += [(task, name, args.curriculum and not rest, *(times or [1])) for name in named]
    if not args.baselines and (not args.chosen or args.out is None):
        parser.error("--out and --task or --cell are needed")
    return args


@cache
def long_conv_works() -> bool:
    """Whether S4D's kernels agree with Fourier transforms on this GPU; if not, it is said, and S4 trains with those, slower."""
    from check_long_conv import check  # Triton

    try:
        print("long_conv, worst relative errors:", check("cuda"), flush=True)
    except Exception as error:
        print(f"S4 trains with Fourier transforms, because of {type(error).__name__}: {str(error)[:500]}", flush=True)
        return False
    return True


def capture(cells: list[Cell]) -> None:
    for cell in cells:
        if not cell.cuda or cell.done:
            continue
        # All are read at capture. With TF32's matrices, attention alone is bf16.
        icl_models.attention_type = torch.bfloat16 if cell.precision == "tf32" else None
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = cell.precision != "f32"
        icl_s4.exact = cell.precision == "f32" or (cell.architecture.startswith("s4") and not long_conv_works())
        began = time.monotonic()
        try:
            cell.capture()
        except Exception as error:
            if not cell.args.compile:
                raise
            print(f"{cell.name}: not compiled, because of {type(error).__name__}: {str(error)[:500]}", flush=True)
            icl_models.compile_layers(False)
            cell.args.compile = False
            if cell.file.exists():
                cell.restore()
            cell.capture()
        print(f"{cell.name} captured in {time.monotonic() - began:.1f} s", flush=True)


def train(cells: list[Cell], seconds: float, log_every: int) -> None:
    """seconds: compiling and capturing included; a cell's own seconds are of training alone."""
    end = time.monotonic() + seconds
    capture(cells)
    start = time.monotonic()
    marks = {cell.name: cell.step for cell in cells}
    before = {cell.name: cell.seconds for cell in cells}
    saved = start
    while time.monotonic() < end and not all(cell.done for cell in cells):
        running = [cell for cell in cells if not cell.done]
        for _ in range(log_every):
            for cell in running:
                for _ in range(min(cell.times, cell.steps - cell.step)):
                    cell.advance()
        for cell in running:
            try:
                mean = cell.note(marks[cell.name])
            except FloatingPointError as error:  # the others go on
                print(error, flush=True)
                cells.remove(cell)
                continue
            marks[cell.name] = cell.step
            cell.seconds = before[cell.name] + time.monotonic() - start
            print(f"{cell.name} step {cell.step} of {cell.steps}, loss {mean:.5f}, {cell.seconds:.0f} s", flush=True)
        if cells and cells[0].args.fit and cells[0].step == FIT_AFTER * cells[0].times:
            fit(cells, time.monotonic() - start, end - time.monotonic())
        if cells and time.monotonic() - saved > cells[0].args.save_every:
            saved = time.monotonic()
            for cell in cells:
                cell.save()


def fit(cells: list[Cell], spent: float, left: float) -> None:
    """Makes the schedule as long as the time left; all cells share their arguments."""
    args = cells[0].args
    args.steps = min(args.steps, FIT_AFTER + int(0.97 * left * FIT_AFTER / spent))
    print(f"{1000 * spent / FIT_AFTER:.2f} ms a round of all cells: {args.steps} rounds", flush=True)


def finish(cells: list[Cell]) -> None:
    icl_models.compile_layers(False)  # other batches would be compiled anew
    icl_models.attention_type = None
    for cell in cells:
        cell.save()
        line = {"task": cell.task.name, "architecture": cell.architecture, "seed": cell.seed, "lr": cell.lr, "steps": cell.step}
        line |= {"planned": cell.steps, "seconds": round(cell.seconds, 1), "beside": len(cells) - 1, "batch": cell.batch}
        line |= {"parameters": parameters(cell.model), "prompts": cell.args.prompts, "short": cell.step < cell.args.short}
        line |= {"device": torch.cuda.get_device_name() if cell.cuda else "cpu", "search": bool(cell.args.search)}
        line |= {"precision": cell.precision, "curriculum": cell.curriculum}
        line |= {"tag": cell.args.tag} if cell.args.tag else {}
        with full_precision():
            found, by_prompt = evaluate(cell)
            line |= found
            export(cell, line, by_prompt)
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
        points = examples(task, prompts)[0].shape[1]
        counts = counts[:, -points:]  # in a chain of thought every point has two targets, and all count
        few = sorted({*range(0, points, max(1, points // 20)), *range(points - task.last, points)})
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
    if args.compile:
        icl_models.compile_layers()
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = args.out / "rates.json"
    rates = RATES | (json.loads(chosen.read_text()) if chosen.exists() else {})
    cells = [
        Cell(TASKS[task], architecture, seed, lr, args, device, curriculum, times)
        for task, architecture, curriculum, times in args.chosen
        for seed in args.seed
        for lr in args.search or [args.lr or recipe(task).rates.get(architecture) or rates[architecture] / recipe(task).slower]
    ]
    if args.fit and any(cell.step for cell in cells):
        raise ValueError(f"--fit is for new trainings, and {args.out} has begun ones: give their --steps")
    print(f"{len(cells)} cells on {device}", {cell.name: parameters(cell.model) for cell in cells}, flush=True)
    if args.profile:
        capture(cells)
        profile(cells)
        return
    train(cells, args.seconds, log_every=100 if device == "cuda" else 5)
    if args.search:
        choose_rates(cells, args.out)
    finish(cells)


if __name__ == "__main__":
    main()
