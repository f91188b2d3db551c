"""timm's architectures by name, without the seconds that importing timm takes: listed once per version of timm."""

from importlib.metadata import version
from pathlib import Path

from benchmark.disk import write_whole
from benchmark.fault import Fault, did_you_mean


def check_architecture(name: str, home: Path) -> None:
    """Raises Fault, with "did you mean", where timm has no such architecture. `home` keeps the list."""
    known = _listed(home)
    if name not in known:
        raise Fault(f"timm {version('timm')} has no architecture {name!r}: {did_you_mean(name, known)}")


def _listed(home: Path) -> list[str]:
    path = home / f"timm-{version('timm')}.txt"
    if not path.is_file():
        from benchmark.memory import keep_pages

        keep_pages()  # torch comes with timm
        import timm

        write_whole(path, "\n".join(timm.list_models()))
    return path.read_text().split()
