"""timm's architectures by name, without the seconds that importing timm takes: listed once per version of timm.

And this project's own beside them: wide ResNets as SimCLR has them (`zoo.wide` builds these).
"""

from importlib.metadata import version
from pathlib import Path

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import write_whole

WIDE: dict[str, tuple[tuple[int, int, int, int], int]] = {  # blocks of each stage, the multiple of every width
    "resnet50x2": ((3, 4, 6, 3), 2),
    "resnet50x4": ((3, 4, 6, 3), 4),
    "resnet101x2": ((3, 4, 23, 3), 2),
    "resnet152x2": ((3, 8, 36, 3), 2),
}


def check_architecture(name: str, home: Path) -> None:
    """Raises BenchmarkError, with "did you mean", where timm has no such architecture. `home` keeps the list."""
    known = [*_listed(home), *WIDE]
    if name not in known:
        raise BenchmarkError(f"timm {version('timm')} has no architecture {name!r}: {did_you_mean(name, known)}")


def _listed(home: Path) -> list[str]:
    path = home / f"timm-{version('timm')}.txt"
    if not path.is_file():
        from benchmark.torch_setup import prepare_for_torch

        prepare_for_torch()  # torch comes with timm
        import timm

        write_whole(path, "\n".join(timm.list_models()))
    return path.read_text().split()
