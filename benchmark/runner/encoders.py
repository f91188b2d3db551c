"""Loads the encoders of cells; each weight file is verified once."""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from benchmark.cell import Cell, Weights
from benchmark.errors import BenchmarkError
from benchmark.models.feature_extractor import ClassTokens
from benchmark.random_streams import Purpose, stream
from benchmark.workspace import Workspace
from benchmark.zoo import backbone, fetch, forms, matching
from benchmark.zoo.catalog import find_entry, read_catalog
from benchmark.zoo.conversions import load_converted


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """Loads the encoders of cells."""

    workspace: Workspace
    _verified: dict[str, fetch.WeightFile] = field(default_factory=dict)

    def load(self, cell: Cell, weights: Weights, form: forms.Form) -> tuple[nn.Module, matching.LoadReport]:
        """Returns one of the cell's encoders, and what was loaded into it; weights that the file lacks are drawn from the
        cell's seed.

        Raises BenchmarkError where the file or its naming changed since the cell was planned.
        """
        encoder, report = self._load(cell, weights, form)
        return (ClassTokens(encoder, 4) if weights.features == "class-tokens-4" else encoder), report

    def _load(self, cell: Cell, weights: Weights, form: forms.Form) -> tuple[nn.Module, matching.LoadReport]:
        entry = find_entry(
            weights.name, read_catalog(self.workspace.project / "model_zoo.yaml", self.workspace.own_zoo)
        )
        seed = stream(cell.seed, Purpose.ENCODER)
        size, initialization = cell.recipe.image_size, cell.recipe.initialization
        if weights.fresh:
            return backbone.load_encoder(entry, None, form, seed, size, initialization)
        if weights.sha256 not in self._verified:
            self._verified[weights.sha256] = fetch.verify_weight_file(
                fetch.fetch(entry, self.workspace.weights, offline=True)
            )
        file = self._verified[weights.sha256]
        found = (file.sha256, entry.naming, entry.positions)
        if found != (weights.sha256, weights.naming, weights.positions):
            raise BenchmarkError(
                f"{entry.name}: its file or naming changed since this cell was planned: give the command again"
            )
        tensors, report = load_converted(entry, file)
        return backbone.build_with_tensors(entry, tensors, report, form, seed, size, initialization), report


def describe_load(weights: Weights, report: matching.LoadReport) -> dict[str, Any]:
    """Returns what a record says of the loading of an encoder."""
    return {
        "name": weights.name,
        "share": round(report.loaded_fraction, 6),
        "dropped": report.dropped,
        "fresh": report.random,
    }
