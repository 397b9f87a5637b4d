"""Where the time of a captured step goes: each cell alone, all side by side, and the kernels that take the most."""

import time

import torch
from icl_cell import Cell

STEPS, SHOWN = 20, 15


def seconds_a_step(cells: list[Cell]) -> float:
    """With all of them side by side, after one step to warm up."""
    for at in range(STEPS + 1):
        for cell in cells:
            cell.advance()
        if at == 0:
            wait(cells)
            start = time.perf_counter()
    wait(cells)
    return (time.perf_counter() - start) / STEPS


def wait(cells: list[Cell]) -> None:
    for cell in cells:
        if cell.stream is not None:
            cell.stream.synchronize()


def kernels(cell: Cell) -> list[tuple[str, float, int]]:
    """Name, milliseconds a step and launches a step, the slowest first."""
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kinds.CUDA] if cell.cuda else [kinds.CPU]) as recorded:
        for _ in range(STEPS):
            cell.advance()
        wait([cell])
    found = []
    for event in recorded.key_averages():
        micros = event.self_device_time_total if cell.cuda else event.self_cpu_time_total
        found.append((event.key, micros / 1000 / STEPS, event.count / STEPS))
    return sorted(found, key=lambda row: -row[1])


def profile(cells: list[Cell]) -> None:
    alone = []
    for cell in cells:
        alone.append(seconds_a_step([cell]))
        rows = kernels(cell)
        busy, launches = sum(row[1] for row in rows), sum(row[2] for row in rows)
        print(f"{cell.name}: {1000 * alone[-1]:.2f} ms a step alone; kernels {busy:.2f} ms in {launches:.0f} launches")
        for name, ms, count in rows[:SHOWN]:
            print(f"  {ms:8.3f} ms {100 * ms / busy:5.1f} %  {count:6.1f}×  {name[:110]}")
    together = seconds_a_step(cells)
    rate = len(cells) / together
    print(f"together {1000 * together:.2f} ms a round, the sum alone {1000 * sum(alone):.2f} ms: {rate:.0f} cell-steps a second")
