"""Cells that other processes work on: watched without claiming them, and taken when they become free."""

import time
from dataclasses import dataclass, field

from benchmark.cell import Cell
from benchmark.locks import Watch, holder_of
from benchmark.results.store import Store

LOOK_SECONDS = 2.0  # between two looks at the leases
TELL_LOOKS = 10  # after so many looks at a cell a user is told what is waited for


@dataclass
class _Contended:
    cells: list[Cell]
    watches: list[Watch]
    num_looks: int = 0


@dataclass
class ContendedCells:
    """Groups of cells that other processes work on. A watch is kept as long as the run lasts: it times the holder."""

    store: Store
    _groups: list[_Contended] = field(default_factory=list)
    _watches: dict[str, Watch] = field(default_factory=dict)
    _next_look: float = 0.0

    def __len__(self) -> int:
        return sum(len(group.cells) for group in self._groups)

    def add(self, cells: list[Cell]) -> None:
        """Takes a group of cells, which stay together."""
        for cell in cells:
            self._watches.setdefault(cell.key, Watch(self.store.lease(cell), self.store.terms))
        self._groups.append(_Contended(cells, [self._watches[cell.key] for cell in cells]))

    def take_free(self) -> tuple[list[list[Cell]], list[tuple[Cell, str]]]:
        """Looks at the leases, at most every LOOK_SECONDS. Returns the cells that nobody holds any more, by their groups,
        and the cells that were waited for long, each with a line that names the holder.
        """
        if time.monotonic() < self._next_look:
            return [], []
        self._next_look = time.monotonic() + LOOK_SECONDS
        free, lines = [], []
        for group in self._groups:
            group.num_looks += 1
            for cell, watch in zip(group.cells, group.watches, strict=True):
                watch.look()
                if not watch.is_free and watch.is_expired:
                    watch.take_away()
                    watch.is_free = True
                if not watch.is_free and group.num_looks == TELL_LOOKS:
                    lines.append((cell, f"{cell.title}: waiting for {holder_of(watch.path)}"))
            if now_free := [cell for cell, watch in zip(group.cells, group.watches, strict=True) if watch.is_free]:
                free.append(now_free)
                group.cells = [cell for cell in group.cells if cell not in now_free]
                group.watches = [self._watches[cell.key] for cell in group.cells]
        self._groups = [group for group in self._groups if group.cells]
        return free, lines

    @property
    def are_all_alive(self) -> bool:
        """Whether each lease was renewed since it was watched: all cells are in the hands of living processes."""
        return all(watch.has_changed for group in self._groups for watch in group.watches)
