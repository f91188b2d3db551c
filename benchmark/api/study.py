"""`init_study`: a folder for a study, with its suite, its commands and a place for its data."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.api.options import Names, PathLike, Seeds, Settings, find_places, join_names, write_seeds, write_settings
from benchmark.errors import BenchmarkError
from benchmark.files import write_atomically

if TYPE_CHECKING:
    from benchmark.experiment.grid import ResolvedGrid

SUITE = """\
# yaml-language-server: $schema=suite.schema.json
# What every field means: `benchmark suite schema`, or the documentation's page on suites.
name: {name}
title: which of these encoders transfers best?
models: {models}
tasks: {tasks}
seeds: {seeds}
baseline: {baseline}
recipe: {recipe}
"""
README = """\
# {name}

Which of these encoders transfers best: {models}, on {tasks}?

Give these commands in this folder. The same `run` continues where it stopped. The report is
`results/reports/{name}/report.html`.

```sh
export BENCHMARK_DATA="$PWD/data" BENCHMARK_RESULTS="$PWD/results"
benchmark suite check study.yaml
benchmark plan study.yaml
benchmark run study.yaml
benchmark status
benchmark report study.yaml
```

| file | holds |
|---|---|
| `study.yaml` | the study: models, tasks, seeds, recipe; edit it and give `run` again, only what is new is trained |
| `suite.schema.json` | what `study.yaml` may hold, for editors |
| `data/` | the data sets, one folder for each, as their publishers distribute them |
| `results/` | records, predictions and reports |

`data/` must hold:

{folders}

Without the data, `benchmark data phantom {quoted} --out data -n 200` writes synthetic images that show that everything works.
Their numbers mean nothing clinically.
"""
# records are small and are the study's results; what is large or can be made again is left out
IGNORED = """\
/data
/results/cells/**/scratch/
/results/cells/**/.lease
/results/encoders/
*.partial
"""


def init_study(
    folder: PathLike,
    *,
    models: Names = "imagenet,scratch",
    tasks: Names = "TXC",
    seeds: Seeds = 10,
    settings: Settings | None = None,
    data: PathLike | None = None,
    project: PathLike | None = None,
) -> list[Path]:
    """Writes a study's folder and returns its files: the suite `study.yaml` with its JSON schema, a README with the commands,
    `.gitignore`, and `data`, a link to the data folder where one is known (`data`, or BENCHMARK_DATA).

    Raises BenchmarkError for unknown models, tasks and recipe fields, and for a folder that is not empty.

    >>> bm.init_study("study", models="imagenet,swav", tasks="TXC", seeds=5)  # doctest: +SKIP
    """
    from benchmark.experiment.request import RunRequest
    from benchmark.experiment.suite_file import suite_schema
    from benchmark.strict import is_name

    folder = Path(folder).expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BenchmarkError(f"{folder} is there already: name a new folder, or an empty one")
    if not is_name(folder.name):
        raise BenchmarkError(f"{folder.name!r} cannot be a study's name: begin it with a letter, without slashes")
    workspace = find_places(None, data, project)
    texts = {"models": join_names(models) or "", "tasks": join_names(tasks) or "", "seeds": write_seeds(seeds) or ""}
    chosen = write_settings(settings)
    grid = RunRequest.of(workspace, texts["models"], texts["tasks"], seeds=texts["seeds"], settings=chosen).grid()
    fields = {name: json.dumps(text, ensure_ascii=False) for name, text in texts.items()}  # JSON's texts are YAML's
    suite = SUITE.format(
        name=json.dumps(folder.name, ensure_ascii=False),
        baseline=json.dumps("+".join(entry.name for entry in grid.models[0])),
        recipe=json.dumps(_recipe(grid, chosen)),
        **fields,
    )
    contents = {
        "study.yaml": suite,
        "suite.schema.json": json.dumps(suite_schema(), indent=1, ensure_ascii=False) + "\n",
        "README.md": README.format(
            name=folder.name, folders=_folders(grid), quoted=shlex.quote(texts["tasks"]), **texts
        ),
        ".gitignore": IGNORED,
    }
    for name, text in contents.items():
        write_atomically(folder / name, text)
    if workspace.data is not None:
        (folder / "data").symlink_to(workspace.data, target_is_directory=True)
    else:
        write_atomically(folder / "data" / "README.md", f"Put the data sets here:\n\n{_folders(grid)}\n")
    return [*(folder / name for name in contents), folder / "data"]


def _recipe(grid: "ResolvedGrid", settings: list[str]) -> dict[str, Any]:
    """Returns the recipe fields that were set, with their values as the recipe reads them."""
    from benchmark.recipe import Recipe

    names = {text.partition("=")[0].strip() for text in settings}
    recipe = Recipe.complete(*(one.task.recipe for one in grid.task_runs[:1]), settings=settings)
    return {name: value for name, value in recipe.model_dump(mode="json").items() if name in names}


def _folders(grid: "ResolvedGrid") -> str:
    return "\n".join(f"- `{task.root}/` for {task.name}: {task.get or 'your own images'}" for task in grid.tasks)
