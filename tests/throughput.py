"""Images per second of the first paper's plain pipeline and of ours, side by side.

Each measurement runs in a process of its own, after a warm-up, in rounds of A B C A B C …; medians over the rounds.
Sides: `theirs` (performance/plain_pipeline.py, with its best number of workers), `exact` (the papers' pixels, fp32), `fast`
(training crops by OpenCV from a cache of 512 pixels, fp32), `fast-bf16`, and `frozen`, linear evaluation by features
that are computed once (performance/throughput_linear.py): ten seeds at 30 epochs, and these at eight rates. `fast` differs
from `exact` in training crops alone: evaluation and U-Nets have no row of it. SimCLR, and its loader alone, are measured
against its usual public PyTorch form (performance/throughput_simclr.py); their images are views. The images are phantoms of
1024 x 1024; no data is needed.

Nothing here is a test: times are printed, never asserted.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.torch_setup import keep_pages

sys.path.insert(0, str(Path(__file__).parent / "performance"))  # what this script measures with


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What is run, by which sides, and how much of it: images per batch and images timed, on a CPU and on a GPU."""

    task: str = "DXC14"
    size: int = 224
    sides: tuple[str, ...] = ("theirs", "exact", "fast-bf16")
    cpu: tuple[int, int]
    gpu: tuple[int, int]


# CPU: seconds to a minute where convolutions run at 0.15 TFLOP/s; smaller batches than 32 where one would take longer,
# yet large enough for the first tensors to exceed the 32 MiB up to which malloc keeps freed memory by itself
PHASES = {
    "train": Phase(sides=("theirs", "exact", "fast", "fast-bf16"), cpu=(32, 64), gpu=(32, 3200)),
    "validation": Phase(cpu=(32, 128), gpu=(32, 6400)),
    "test": Phase(cpu=(32, 16), gpu=(32, 1280)),
    "unet-224": Phase(task="PXS", cpu=(16, 32), gpu=(32, 1280)),
    "unet-512": Phase(task="PXS", size=512, cpu=(4, 8), gpu=(32, 640)),
    "linear": Phase(sides=("theirs", "frozen"), cpu=(32, 128), gpu=(32, 6400)),
    "linear-rates": Phase(sides=("theirs", "frozen"), cpu=(32, 128), gpu=(32, 6400)),
    "simclr": Phase(task="Derm27", sides=("theirs", "fast", "fast-bf16"), cpu=(32, 64), gpu=(1024, 20480)),
    # many batches, since ours renders some ahead
    "simclr-loader": Phase(task="Derm27", sides=("theirs", "fast"), cpu=(32, 640), gpu=(1024, 20480)),
}
SIDES = (*PHASES["train"].sides, "frozen")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One measurement. `step` is what the plain pipeline takes at a time; `warm_up` counts batches, `images` what is
    timed after them; `workers` are the plain pipeline's, None asks for its best number of them.
    """

    phase: str
    side: str
    task: str
    size: int
    batch: int
    step: int
    warm_up: int
    images: int
    threads: int
    workers: int | None
    device: str
    work: str


class ChildFailed(Exception):
    """A measuring process did not come to its end; the message is the end of what it said."""


def main() -> None:
    """Parse, measure, print."""
    told = _options().parse_args()
    if told.child:
        _be_child(**json.loads(told.child))
        return
    with ExitStack() as until_done:
        work = told.work or Path(until_done.enter_context(tempfile.TemporaryDirectory(prefix="throughput-")))
        work.mkdir(parents=True, exist_ok=True)
        try:
            _measure_all(told, work.resolve())
        except ChildFailed as error:
            raise SystemExit(str(error)) from error


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=_some_of(SIDES), default=SIDES, help=f"of {','.join(SIDES)}")
    parser.add_argument("--phases", type=_some_of(PHASES), default=tuple(PHASES), help=f"of {','.join(PHASES)}")
    parser.add_argument("--pairs", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--images", type=int, help="images timed in each measurement (default: by phase)")
    parser.add_argument("--threads", type=int, help="torch's, in each process (default: all cores, shared out)")
    parser.add_argument(
        "--workers", type=int, help="of the plain pipeline's loader (default: the best, by a short trial)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--cells", type=int, default=1, help="also measure this many processes at once, their rates summed"
    )
    parser.add_argument("--bf16", action="store_true", help="measure bf16 even where the CPU emulates it")
    parser.add_argument("--work", type=Path, help="folder for phantoms and caches, kept (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="also write every measurement to this file")
    parser.add_argument("--quick", action="store_true", help="tiny numbers that mean nothing, to see that it works")
    parser.add_argument("--child", help=argparse.SUPPRESS)  # one measurement, as this script asks itself for it
    return parser


def _some_of(known: Iterable[str]) -> Any:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: wanted some of {', '.join(known)}")
        return names

    return parse


def _be_child(what: str, asked: dict[str, Any]) -> None:
    """Do what one process is there for, and tell it in one line."""
    if what != "theirs":
        keep_pages()
    if what == "peak":  # each of these imports torch: after the allocator was told
        from throughput_machine import convolution_peak

        result = convolution_peak(**asked)
    elif what == "prepare":
        from throughput_sides import prepare

        result = prepare([Plan(**plan) for plan in asked.pop("plans")], **asked)
    elif asked.get("phase", "").startswith("simclr"):
        from throughput_simclr import measure_simclr

        result = measure_simclr(Plan(**asked))
    elif what == "frozen":
        from throughput_linear import measure_frozen

        result = measure_frozen(Plan(**asked))
    else:
        from throughput_sides import measure_ours, measure_theirs

        result = (measure_theirs if what == "theirs" else measure_ours)(Plan(**asked))
    print(json.dumps(result), flush=True)


def _run(what: str, asked: dict[str, Any], cells: int = 1) -> dict[str, Any]:
    """Ask `cells` processes at once; their clocks start together. Raises ChildFailed.

    Rates of several are their images by the time that the last of them took. `others_share` is the part of the machine's
    time that other programs had meanwhile.
    """
    command = [sys.executable, __file__, "--child", json.dumps({"what": what, "asked": asked})]
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    started, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()
    with tempfile.TemporaryFile("w+") as said, ExitStack() as running:
        processes = [running.enter_context(subprocess.Popen(command, stderr=said, **pipes)) for _ in range(cells)]
        try:
            results = [_next_line(process) for process in processes]
            if "ready" in results[0]:
                for process in processes:
                    print("go", file=process.stdin, flush=True)
                results = [_next_line(process) for process in processes]
        except (EOFError, BrokenPipeError) as error:
            said.seek(0)
            raise ChildFailed("".join(said.readlines()[-12:]) or f"{what}: ended without a word") from error
        finally:
            for process in processes:
                process.kill()  # its result, where it has one, was its last word
    told = results[0]
    if cells > 1:
        seconds, images = max(one["seconds"] for one in results), sum(one["images"] for one in results)
        told |= {"seconds": seconds, "images": images, "images_per_second": images / seconds}
        told["wait_share"] = sum(one["wait_share"] for one in results) / cells
    foreign = (_busy_seconds() - busy) - (_own_seconds() - own)
    return told | {"others_share": max(0.0, foreign / (CORES * (time.perf_counter() - started)))}


def _next_line(process: Any) -> dict[str, Any]:
    for line in process.stdout:
        if line.startswith("{"):  # libraries may print too
            return dict(json.loads(line))
    raise EOFError


def _busy_seconds() -> float:
    """What all cores have worked since the machine's start, time stolen by its host included."""
    try:
        ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # idle, waiting for a disk


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measure_all(told: argparse.Namespace, work: Path) -> None:
    """Prepare, measure in rounds, print the table. What fails is said and left out; Ctrl-C ends with what there is."""
    from throughput_table import print_rows, summarize  # pandas comes with it: seconds that no child needs to spend

    peak_asked = {"device_name": told.device, "threads": CORES, "repeats": 1 if told.quick else 4, "bf16": told.bf16}
    _progress("convolution peak")
    machine = _run("peak", peak_asked)
    plans = _plans(told, work, machine)
    _progress("phantoms and caches")
    phantoms = {"num": 24, "side": 128} if told.quick else {"num": 240, "side": 1024}
    prepared = _run("prepare", {"plans": [asdict(plan) for plan in plans], **phantoms})
    trials: dict[str, dict[str, float]] = {}
    measured: list[dict[str, Any]] = []
    failed = 0
    try:
        plans = [_with_best_workers(plan, trials) for plan in plans]
        counts = sorted({1, told.cells})
        one_round = [(p, c) for phase in told.phases for c in counts for p in plans if p.phase == phase]
        for number in range(told.pairs):
            if number:
                peaks = _run("peak", peak_asked)["peaks"]
                machine["peaks"] = {name: max(peak, peaks[name]) for name, peak in machine["peaks"].items()}
            for plan, cells in one_round:
                title = (
                    f"{len(measured) + failed + 1}/{told.pairs * len(one_round)} {plan.phase} · {plan.side} × {cells}"
                )
                try:
                    shared = replace(plan, threads=told.threads or max(1, CORES // cells))
                    one = _run(plan.side, asdict(shared), cells)
                except ChildFailed as error:
                    failed += 1
                    _progress(f"{title}: failed\n{error}")
                    continue
                measured.append({"round": number, "phase": plan.phase, "side": plan.side, "cells": cells, **one})
                _progress(
                    f"{title}: {one['images_per_second']:.3g} images/s, waiting {one['wait_share']:.1%}, "
                    f"other programs used {one['others_share']:.0%} of the machine"
                )
    except KeyboardInterrupt:
        _progress("interrupted")
    if not measured:
        raise SystemExit("nothing was measured")
    rows = summarize(measured, machine["peaks"], prepared["flops"])
    print_rows(rows, machine, prepared, trials)
    if told.json:
        whole = {"machine": machine, "prepared": prepared, "workers": trials, "rows": rows, "measured": measured}
        told.json.write_text(json.dumps(whole, indent=1))
    if failed:
        raise SystemExit(1)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _plans(told: argparse.Namespace, work: Path, machine: dict[str, Any]) -> list[Plan]:
    """What is to be measured, in order."""
    on_gpu = machine["device_type"] == "cuda"
    bf16 = machine["has_bf16"] or told.bf16
    plans = []
    for name in told.phases:
        phase = PHASES[name]
        batch, images = (2, 2) if told.quick else phase.gpu if on_gpu else phase.cpu
        plans += [
            Plan(
                phase=name,
                side=side,
                task=phase.task,
                size=phase.size,
                batch=batch,
                step=max(1, batch // 4) if name == "test" and not on_gpu else batch,
                # on a GPU more than what the largest loader has ready when its first batch is asked for
                warm_up=40 if on_gpu and not told.quick else 1,
                images=told.images or images,
                threads=told.threads or CORES,
                workers=0 if told.quick and told.workers is None else told.workers,
                device=machine["device_type"],
                work=str(work),
            )
            for side in phase.sides
            if side in told.sides and (bf16 or side != "fast-bf16")
        ]
    if not plans:
        raise SystemExit("nothing to measure: fast has a row in train alone, fast-bf16 asks for --bf16 on this device")
    return plans


def _with_best_workers(plan: Plan, trials: dict[str, Any]) -> Plan:
    """The plan with the number of workers that a short trial finds best, where none is given."""
    if plan.side != "theirs" or plan.workers is not None:
        return plan
    _progress(f"trying workers for {plan.phase}")
    tried = _run("theirs", asdict(plan))["tried"]
    trials[plan.phase] = tried
    return replace(plan, workers=int(max(tried, key=tried.get)))


if __name__ == "__main__":
    main()
