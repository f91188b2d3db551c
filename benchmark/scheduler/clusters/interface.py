"""What `--on` reads, and what a cluster makes of it."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from benchmark.strict import StrictModel

_VARIABLE = re.compile(r"[A-Za-z_]\w*")


def check_line(text: str) -> str:
    """Returns a text of one line. Raises ValueError for any other: it would become a line of its own in a script."""
    if any(ord(letter) < 32 for letter in text):
        raise ValueError("wanted one line")
    return text


def check_variable(name: str) -> str:
    """Returns the name of an environment variable. Raises ValueError for any other."""
    if not _VARIABLE.fullmatch(name):
        raise ValueError("wanted letters, digits and _")
    return name


Line = Annotated[str, AfterValidator(check_line)]
Variable = Annotated[str, AfterValidator(check_variable)]


class ClusterSettings(StrictModel):
    """What all kinds of clusters have in common.

    `workers`: jobs at a time, each `benchmark run`; `processes`: of each worker, 0 for one per GPU; `setup`: shell lines
    before the command, such as `module load` or the activation of an environment; `environment`: variables of the workers.
    """

    kind: str
    workers: Annotated[int, Field(ge=1, le=10_000)] = 1
    processes: Annotated[int, Field(ge=0)] = 0
    setup: list[Line] = []
    environment: dict[Variable, Line] = {}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to be started on a cluster. `name`: letters, digits and -; `command`: what each worker executes; `folder`: where
    its script and the logs of its workers lie, beside the results; `environment`: where the workspace is.
    """

    name: str
    command: list[str]
    folder: Path
    environment: Mapping[str, str]

    @property
    def shell_command(self) -> str:
        """The command as a shell reads it."""
        return shlex.join(self.command)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A kind of cluster. `settings`: the model of its YAML file; `suffix`: of the file that `render` makes; `submit` starts
    the job and returns a line about it (None: the user does, by the command that `how` returns).
    """

    settings: type[ClusterSettings]
    suffix: str
    render: Callable[[Any, Job], str]
    how: Callable[[Any, Path], str]
    submit: Callable[[Any, Job, Path], str] | None = None


def export_lines(settings: ClusterSettings, job: Job) -> list[str]:
    """Returns shell lines that set the workers' environment."""
    return [f"export {name}={shlex.quote(text)}" for name, text in {**job.environment, **settings.environment}.items()]
