"""Architectures by name: timm's, this project's wide ResNets, and those of the user's own packages. Torch-free.

An entry's `architecture` is one of

    resnet50                a name that timm knows
    resnet50x2              a ResNet whose widths are multiplied, as SimCLR has them (built by `zoo.wide`)
    my_package.nets:build   a function of an installed package (built by `zoo.custom`)
    my-net                  a name that an installed package offers by an entry point of group `benchmark.architectures`

timm's names come first, so that no package can change what they mean. Importing timm takes seconds, so its names are listed
in a file, once per version of timm.
"""

from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import write_atomically

GROUP = "benchmark.architectures"
WIDE: dict[str, tuple[tuple[int, int, int, int], int]] = {  # blocks of each stage, the factor of every width
    "resnet50x2": ((3, 4, 6, 3), 2),
    "resnet50x4": ((3, 4, 6, 3), 4),
    "resnet101x2": ((3, 4, 23, 3), 2),
    "resnet152x2": ((3, 8, 36, 3), 2),
}


def check_architecture(name: str, home: Path) -> None:
    """Raises BenchmarkError, with "did you mean", for a name that nothing here knows; runs no code of other packages.

    `home` is the folder in which timm's names are kept.
    """
    if ":" in name:
        find_builder(name)
        return
    known = [*_timm_names(home), *WIDE, *entry_points(group=GROUP).names]
    if name not in known:
        raise BenchmarkError(
            f"timm {version('timm')} has no architecture {name!r}: {did_you_mean(name, known)}; a network of your own "
            f"package is named as package.module:function"
        )


def find_builder(name: str) -> EntryPoint | None:
    """Returns the function of a package that builds this architecture, not loaded yet; None where no package has it.

    Raises BenchmarkError for a name with a colon that is no `package.module:function`.
    """
    if ":" not in name:
        return next(iter(entry_points(group=GROUP, name=name)), None)
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *function.split("."))):
        raise BenchmarkError(f"architecture {name!r}: wanted package.module:function, or a name that timm knows")
    return EntryPoint(name=name, value=name, group=GROUP)


def _timm_names(home: Path) -> list[str]:
    path = home / f"timm-{version('timm')}.txt"
    if not path.is_file():
        from benchmark.torch_setup import prepare_for_torch

        prepare_for_torch()  # timm imports torch
        import timm

        write_atomically(path, "\n".join(timm.list_models()))
    return path.read_text().split()
