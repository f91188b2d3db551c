"""The `benchmark` command. Verbs parse, delegate and render; torch is imported inside those that train."""

import os
import sys

import typer

from benchmark.cli import (
    compare,
    data,
    doctor,
    export,
    housekeeping,
    init,
    judge,
    merge,
    pretrain,
    report,
    run,
    suite,
    tasks,
    zoo,
)
from benchmark.cli.console import print_error
from benchmark.errors import BenchmarkError
from benchmark.files import temporary_error_of
from benchmark.logs import warnings_hidden

app = typer.Typer(
    name="benchmark",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Which pretrained weights transfer best to a medical imaging task, by how much, how surely, how fast.",
)
app.add_typer(zoo.app, name="zoo", help="Pretrained weights: list, show, add, fetch, verify.")
app.add_typer(tasks.app, name="tasks", help="Tasks: list, show, check; your own: add, remove.")
app.add_typer(data.app, name="data", help="Data sets: verify, show, prepare, split; phantoms.")
app.add_typer(suite.app, name="suite", help="Suites, grids in files: check, schema.")
app.command()(init.init)
app.command()(run.plan)
app.command()(run.run)
app.command()(run.status)
app.command()(doctor.doctor)
app.command()(report.report)
app.command()(compare.compare)
app.command()(merge.merge)
app.command()(judge.judge)
app.command()(export.export)
app.command()(housekeeping.cache)
app.command()(housekeeping.clean)
app.add_typer(pretrain.app, name="pretrain", help="New encoders from old.")


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's own call
    if wanted:
        from benchmark import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    *,
    _debug: bool = typer.Option(False, "--debug", help="Show tracebacks instead of one line; may stand anywhere."),
    _version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
    ),
) -> None:
    """Takes the options that belong to no verb."""


def main(arguments: list[str] | None = None) -> None:
    """Runs a command line and exits: 0 all well, 1 some cells or checks failed, 2 the request is wrong, 130 interrupted.

    `--debug` may stand anywhere.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if "--debug" in words:
        os.environ["BENCHMARK_DEBUG"] = "1"
    try:
        with warnings_hidden():
            app(args=[word for word in words if word != "--debug"], prog_name="benchmark")
    except (BenchmarkError, OSError) as error:
        if os.environ.get("BENCHMARK_DEBUG"):
            raise
        fault = error if isinstance(error, BenchmarkError) else temporary_error_of(error)
        print_error(f"error: {fault}")
        sys.exit(2)
