"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import completion
from benchmark.errors import BenchmarkError
from benchmark.workspace import Workspace, find_workspace

Results = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help="Folder of results (default: $BENCHMARK_RESULTS, or the project's results/).",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of data sets (default: $BENCHMARK_DATA).", show_default=False)
]
Project = Annotated[
    Path | None,
    typer.Option(
        "--project",
        help="Folder with model_zoo.yaml and tasks/ (default: $BENCHMARK_PROJECT, or the checkout around here).",
        show_default=False,
    ),
]
Models = Annotated[
    str | None,
    typer.Option(
        "--models",
        "-m",
        help="Zoo entries: a list, all, family:NAME, wildcards, !negations; scratch:ARCHITECTURE for fresh weights; "
        "A+B+C for a fusion.",
        autocompletion=completion.complete_models,
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        "--tasks",
        "-t",
        help="Tasks: a list, all, family:KIND, wildcards, !negations.",
        autocompletion=completion.complete_tasks,
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        "--seeds", "-s", help="10 is seeds 0 to 9; 3,7 those two; 0-4 a range; 3, is seed 3 alone (default: 10)."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Recipe field, NAME=VALUE; part of the cell's identity. May be repeated.",
        autocompletion=completion.complete_fields,
    ),
]
ProtocolName = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        "-p",
        help="finetune, linear, logistic, knn; dvme, dvme-no-attention, dvme-finetune for models joined by +; or a list "
        "(default: finetune).",
        show_default=False,
        autocompletion=completion.complete_protocols,
    ),
]
Sweep = Annotated[
    list[str] | None,
    typer.Option("--sweep", help="Recipe field, NAME=VALUE,VALUE,…: each value in cells of its own. May be repeated."),
]
SearchFields = Annotated[
    list[str] | None,
    typer.Option(
        "--search",
        help="Recipe field, NAME=VALUE,VALUE,… or NAME=log:LOW:HIGH:NUM: every value is trained, the best on validation "
        "is chosen for each model and seed, and only that one is judged on the test part. May be repeated.",
        show_default=False,
    ),
]
Fractions = Annotated[
    str | None,
    typer.Option(
        "--fractions",
        "--fraction",
        help="Shares of the training patients used, such as 0.01,0.1,1 (stratified, nested).",
        show_default=False,
    ),
]
Subsets = Annotated[
    str | None,
    typer.Option(
        "--subsets",
        "--subset",
        help="Numbers of training images used, as many of each class (nested), or names the task gives them (S,M,F).",
        show_default=False,
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds", min=2, help="Each seed once a fold: that fold of the patients validates.", show_default=False
    ),
]
SuiteName = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="A suite: a grid in tasks/suites/NAME.yaml, or a path to one.",
        show_default=False,
        autocompletion=completion.complete_suites,
    ),
]
SuiteFile = Annotated[
    str | None,
    typer.Argument(
        metavar="[SUITE]",
        help="A suite, in place of --suite: a file, or a name.",
        show_default=False,
        autocompletion=completion.complete_suites,
    ),
]
EvaluateOn = Annotated[
    str | None,
    typer.Option(
        "--evaluate-on",
        help="Tasks whose test split each model is judged on, too, without further training, by the labels shared.",
        show_default=False,
    ),
]
KeepWeights = Annotated[
    bool, typer.Option("--keep-weights", help="Store the weights of trained models beside their records.")
]
AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-overlap", help="Run, and mark, models on tasks whose images their weights were trained on."),
]
License = Annotated[
    str | None, typer.Option("--license", help="Only where the license holds this text.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Log = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="Also append every line of progress, with its time, to this file.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Offline = Annotated[bool, typer.Option("--offline", envvar="BENCHMARK_OFFLINE", help="Never use the network.")]


def workspace_of(results: Path | None = None, data: Path | None = None, project: Path | None = None) -> Workspace:
    """Returns the workspace that these options, the BENCHMARK_* variables and the current folder give."""
    return find_workspace(results=results, data=data, project=project)


def one_suite(file: str | None, name: str | None) -> str | None:
    """Returns the suite that the argument or `--suite` names. Raises BenchmarkError where both do."""
    if file is not None and name is not None:
        raise BenchmarkError(f"SUITE and --suite: wanted one of them, found {file!r} and {name!r}")
    return file if name is None else name
