"""`benchmark plan`, `run`, `status`."""

import shlex
from typing import Annotated

import typer

from benchmark.cli.options import (
    AllowOverlap,
    AsJson,
    Data,
    Device,
    EvaluateOn,
    Folds,
    Fractions,
    KeepWeights,
    Log,
    Models,
    Offline,
    Project,
    ProtocolName,
    Results,
    SearchFields,
    Seeds,
    Settings,
    Subsets,
    SuiteFile,
    SuiteName,
    Sweep,
    Tasks,
    one_suite,
)
from benchmark.cli.status import counts_table, watch_status
from benchmark.cli.submit import DryRun, NoWait, On, submit_run
from benchmark.errors import BenchmarkError
from benchmark.text import plural, printable

Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME[:WHERE]",
        help="Also log to tensorboard[:DIR], mlflow[:DIR or URI] or wandb[:DIR or URL]. May be repeated.",
    ),
]


def plan(
    suite_file: SuiteFile = None,
    *,
    models: Models = None,
    tasks: Tasks = None,
    protocol: ProtocolName = None,
    seeds: Seeds = None,
    settings: Settings = None,
    sweep: Sweep = None,
    search: SearchFields = None,
    fractions: Fractions = None,
    subsets: Subsets = None,
    folds: Folds = None,
    suite: SuiteName = None,
    evaluate_on: EvaluateOn = None,
    keep_weights: KeepWeights = False,
    allow_overlap: AllowOverlap = False,
    results: Results = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """Show what `run` would do: cells, done and pending, images, and an estimate of time from measured epochs."""
    from benchmark.api.run import plan as make_plan
    from benchmark.cli.console import out, table_of

    suite = one_suite(suite_file, suite)
    planned = make_plan(
        models=models,
        tasks=tasks,
        protocol=protocol,
        seeds=seeds,
        settings=settings,
        sweep=sweep,
        search=search,
        fractions=fractions,
        subsets=subsets,
        folds=folds,
        suite=suite,
        evaluate_on=evaluate_on,
        keep_weights=keep_weights,
        allow_overlap=allow_overlap,
        results=results,
        data=data,
        project=project,
    )
    table = table_of(
        "task",
        "model",
        "protocol",
        "train / val / test",
        "done",
        "failed",
        "pending",
        "estimate",
        optional=["train / val / test", "failed"],
    )
    for row in planned.rows:
        estimate = "weights not here" if row.model in planned.lacking else _duration(row.hours) if row.pending else ""
        if row.overlap:
            estimate = "overlap: –"
        images = " / ".join(f"{count:,}" for count in row.images)
        table.add_row(
            row.task, row.model, row.how, images, str(row.done), str(row.failed), str(len(row.pending)), estimate
        )
    out().print(table)
    parts = [plural(planned.num_cells, "cell"), f"{planned.num_pending:,} pending"]
    if planned.hours is not None:
        parts.append(f"about {_duration(planned.hours)} on one worker")
    if planned.num_without_estimate:
        rows = plural(planned.num_without_estimate, "row")
        parts.append(f"{rows} without an estimate: nothing alike was measured yet, one seed tells")
    typer.echo(", ".join(parts))
    for note in planned.notes:
        typer.echo(note)


def run(
    suite_file: SuiteFile = None,
    *,
    models: Models = None,
    tasks: Tasks = None,
    protocol: ProtocolName = None,
    seeds: Seeds = None,
    settings: Settings = None,
    sweep: Sweep = None,
    search: SearchFields = None,
    fractions: Fractions = None,
    subsets: Subsets = None,
    folds: Folds = None,
    suite: SuiteName = None,
    evaluate_on: EvaluateOn = None,
    keep_weights: KeepWeights = False,
    allow_overlap: AllowOverlap = False,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=0, help="Processes; 0: one per GPU, one on a CPU.")
    ] = 0,
    device: Device = "auto",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Take failed cells again.")] = False,
    track: Track = None,
    no_wait: NoWait = False,
    on: On = None,
    dry_run: DryRun = False,
    log: Log = None,
    offline: Offline = False,
    results: Results = None,
    data: Data = None,
    project: Project = None,
) -> None:
    """Run a grid: every model on every task, ten seeds a cell. The same command again continues where it stopped."""
    from benchmark.api.progress import TerminalProgress
    from benchmark.api.run import run as run_grid
    from benchmark.cli.console import resumable

    suite = one_suite(suite_file, suite)
    if dry_run and on is None:
        raise BenchmarkError("--dry-run belongs to --on: `benchmark plan` shows what a run on this machine would do")
    if on is not None and log is not None:
        raise BenchmarkError(
            "--log is for a run on this machine: workers of a cluster write their logs beside the results"
        )
    if on is not None:
        options = {
            "models": models,
            "tasks": tasks,
            "protocol": protocol,
            "seeds": seeds,
            "settings": settings,
            "sweep": sweep,
            "search": search,
            "fractions": fractions,
            "subsets": subsets,
            "folds": folds,
            "suite": suite,
            "evaluate_on": evaluate_on,
            "keep_weights": keep_weights,
            "allow_overlap": allow_overlap,
            "device": device,
            "retry_failed": retry_failed,
            "track": track,
        }
        submit_run(on, options, dry_run=dry_run, offline=offline, results=results, data=data, project=project)
        return
    progress = TerminalProgress(log)
    with resumable():
        outcome = run_grid(
            models=models,
            tasks=tasks,
            protocol=protocol,
            seeds=seeds,
            settings=settings,
            sweep=sweep,
            search=search,
            fractions=fractions,
            subsets=subsets,
            folds=folds,
            suite=suite,
            evaluate_on=evaluate_on,
            keep_weights=keep_weights,
            allow_overlap=allow_overlap,
            workers=workers,
            device=device,
            retry_failed=retry_failed,
            wait=not no_wait,
            track=track,
            offline=offline,
            results=results,
            data=data,
            project=project,
            progress=progress,
        )
    named = f"{tasks or ''},*-to-*" if evaluate_on else tasks or ""
    shown = [f"--suite {shlex.quote(suite)}" if suite else f"--tasks {shlex.quote(named)}"]
    if results is not None:
        shown.append(f"--results {shlex.quote(str(results))}")
    cells = f"{outcome.num_done:,} of {plural(outcome.num_cells, 'cell')} done in {outcome.results}"
    typer.echo(f"{cells}; the table: benchmark report {' '.join(shown)}")
    if outcome.failures:
        num = plural(len(outcome.failures), "cell")
        typer.echo(f"{num} failed: benchmark status tells why, --retry-failed takes them again")
    if outcome.not_judged:
        typer.echo(outcome.not_judged)
    if outcome.num_elsewhere:
        typer.echo(f"{plural(outcome.num_elsewhere, 'cell')} left to other processes that work on them")
    for reason, names in outcome.pending.items():
        typer.echo(f"{plural(len(names), 'cell')} left pending, the same command takes them again: {reason}", err=True)
    if not outcome.is_complete:
        raise typer.Exit(1)


def status(
    *,
    tasks: Tasks = None,
    models: Models = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Show it again every ten seconds, with who works on what, until all is done."),
    ] = False,
    results: Results = None,
    project: Project = None,
) -> None:
    """Show the grid so far: done, running, interrupted, failed and why."""
    from benchmark.api.status import status as read_status
    from benchmark.cli.console import out, print_json
    from benchmark.scoring.rescore import outdated_note

    if watch:
        watch_status(tasks=tasks, models=models, results=results, project=project)
        return
    found = read_status(tasks=tasks, models=models, results=results, project=project)
    if as_json:
        print_json({"results": str(found.results), **{n: getattr(found, n) for n in ("counts", "failures", "unread")}})
        return
    if found.is_empty:
        typer.echo(f"nothing was run in {found.results} yet: benchmark run --models … --tasks …")
    elif not found.counts:
        typer.echo(f"no cell of these in {found.results}")
    else:
        out().print(counts_table(found))
    for line in (*(f"failed: {line}" for line in found.failures), *(f"left out: {line}" for line in found.unread)):
        typer.echo(printable(line))
    if note := outdated_note(found.outdated):
        typer.echo(note)


def _duration(hours: float | None) -> str:
    if hours is None:
        return "?"
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 100 else f"{hours / 24:,.0f} days"
