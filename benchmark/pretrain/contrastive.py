"""SimCLR and MICLe on a user's images: from an entry of the zoo to a new one."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.contrastive_recipe import TITLES, ContrastiveRecipe, Method
from benchmark.cores import memory_limit, usable_cores
from benchmark.data.decoding import StoredSize
from benchmark.data.rendering import PixelSource
from benchmark.data.views import PairSplit
from benchmark.errors import BenchmarkError
from benchmark.experiment.overlap import data_set_name
from benchmark.files import digest_of
from benchmark.pretrain.entry import data_sets_of, entry_made_before, family_of, licence_of, register
from benchmark.pretrain.images import FEW_IMAGES, TrainingImages
from benchmark.pretrain.probing import probe_of
from benchmark.random_streams import Purpose, stream
from benchmark.recipe import Recipe
from benchmark.results.store import Store
from benchmark.training.contrastive import ContrastiveInput, saved_bytes, train_contrastive
from benchmark.training.loop import Diverged, Fit, OutOfMemory
from benchmark.training.probe import Probe
from benchmark.workspace import Workspace
from benchmark.zoo import backbone, fetch
from benchmark.zoo.catalog import InputStatistics, ZooEntry, check_entry_name

UNIT_INTERVAL = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # images in 0..1, as SimCLR's code has them
Step = Callable[[dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What is called while an encoder is trained: `cache` with images decoded and in all, `step` now and then with the step,
    its loss and rate and the seconds left, `epoch` with the history's line of each hundredth, `notify` with lines.
    """

    cache: Callable[[int, int], None] = lambda _done, _total: None
    step: Step = lambda _: None
    epoch: Step = lambda _: None
    notify: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, kw_only=True)
class ContrastiveTraining:
    """One contrastive training: what it starts from, on which images, how, and under which name the result is kept.

    `bags`: the column whose values are MICLe's bags; None for SimCLR.
    """

    method: Method
    start: ZooEntry
    images: TrainingImages
    bags: str | None = None
    recipe: ContrastiveRecipe
    seed: int = 0
    name: str
    title: str = ""
    workspace: Workspace
    device: torch.device
    watching: Watching = field(default_factory=Watching)

    def run(self) -> ZooEntry:
        """Trains the encoder and adds it to the user's zoo; an interrupted training continues. Raises BenchmarkError."""
        check_entry_name(self.name)
        if (made_before := entry_made_before(self.name, self.key, self.workspace)) is not None:
            return made_before
        bags = self._bags()
        store = Store(self.workspace.results)
        scratch = store.encoder_scratch(self.key)
        bags, pairs = self._open(bags)
        recipe = self.recipe.training_recipe(len(bags))
        self._say_length(bags)
        probe = probe_of(
            self.images, self.recipe.image_size, self.seed, self.workspace, self.device, self.watching.notify
        )
        fit, encoder, note = self._train(recipe, pairs, probe, scratch)
        images = sorted({int(row) for bag in bags for row in bag})
        entry = register(
            self._entry(fit, len(images), note), self.start, encoder, self.images.patients, scratch, self.workspace
        )
        store.remove_encoder_scratch(self.key)
        return entry

    @property
    def key(self) -> str:
        """16 hex digits that name the training: all that changes its numbers."""
        rows = list(self.images.index.table.loc[self.images.rows, "id"])
        return digest_of({
            "method": self.method,
            "from": [self.start.architecture, self._start_digest],
            "data": [self.images.index.digest, rows],
            "bags": self.bags,
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
        })[:16]  # fmt: skip

    @property
    def _start_digest(self) -> str:
        return "" if self.start.is_scratch else fetch.fetch(self.start, self.workspace.weights, offline=True).sha256

    def _bags(self) -> list[NDArray[np.int64]]:
        if (self.method == "micle") != (self.bags is not None):
            raise BenchmarkError("--bags names the column of MICLe's bags: wanted with `micle` alone, and always there")
        return self.images.bags(self.bags)

    def _open(self, bags: list[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], PairSplit]:
        """Returns the bags without images that cannot be decoded, and their pairs of views."""
        size = StoredSize(shape="short_side", size=self.recipe.train_resolution)
        threads = usable_cores().count
        cache = self.images.open(
            self.images.rows,
            size,
            self.workspace,
            threads=threads,
            progress=self.watching.cache,
            notify=self.watching.notify,
        )
        readable = [np.array([row for row in bag if int(row) not in cache.unreadable], dtype=np.int64) for bag in bags]
        bags = [bag for bag in readable if len(bag)]
        if len(bags) < self.recipe.batch_size:
            noun = "images" if self.bags is None else "bags"
            raise BenchmarkError(
                f"batch_size={self.recipe.batch_size} is larger than the data, {len(bags):,} {noun}: wanted --set "
                f"batch_size={len(bags)} or less"
            )
        everything = np.arange(len(self.images.rows))
        pairs = PairSplit(
            source=PixelSource(cache=cache, positions=everything, targets=np.zeros((len(everything), 0), np.float32)),
            bags=bags,
            views=self.recipe.views or ("radiographs" if cache.channels == 1 else "photographs"),
            image_size=self.recipe.image_size,
            seed=self.seed,
            device=self.device,
            threads=threads,
        )
        return bags, pairs

    def _say_length(self, bags: list[NDArray[np.int64]]) -> None:
        num_images, recipe = sum(map(len, bags)), self.recipe
        passes = recipe.steps * recipe.batch_size / len(bags)
        of = f"{num_images:,} images" if self.bags is None else f"{len(bags):,} bags of {num_images:,} images"
        self.watching.notify(f"{recipe.steps:,} steps of {recipe.batch_size} pairs: {passes:,.1f} passes over {of}")
        if num_images < FEW_IMAGES:
            self.watching.notify(
                f"{num_images:,} images are few for contrastive training, which may not help with them"
            )

    def _encoder(self) -> nn.Module:
        seed = stream(self.seed, Purpose.ENCODER)
        path = None
        if not self.start.is_scratch:
            path = fetch.verify_weight_file(fetch.fetch(self.start, self.workspace.weights, offline=True)).path
        encoder, _ = backbone.load_encoder(
            self.start, path, "pooled", seed, self.recipe.image_size, self.recipe.initialization
        )
        return encoder

    def _train(
        self, recipe: Recipe, pairs: PairSplit, probe: Probe | None, scratch: Path
    ) -> tuple[Fit, nn.Module, str]:
        """Returns how the training went, the encoder and a note: with gradient checkpointing where the batch does not fit
        otherwise.
        """
        marker = scratch / "checkpointed"  # a resumed training goes on as it began
        if not marker.exists() and not self._fits():
            marker.touch()
        while True:
            checkpointed, encoder = marker.exists(), self._encoder()
            inputs = ContrastiveInput(
                encoder=encoder,
                statistics=UNIT_INTERVAL,
                pairs=pairs,
                probe=probe,
                recipe=recipe,
                temperature=self.recipe.temperature,
                seed=self.seed,
                scratch=scratch,
                device=self.device,
                checkpointed=checkpointed,
                watch=self.watching.epoch,
                watch_step=self.watching.step,
                notify=self.watching.notify,
            )
            try:
                return train_contrastive(inputs), encoder, CHECKPOINTED * checkpointed
            except Diverged as error:
                store = Store(self.workspace.results)
                store.remove_encoder_scratch(self.key)
                raise BenchmarkError(
                    f"{self.name}: {error}: wanted a lower learning_rate, or a longer warmup"
                ) from error
            except OutOfMemory as error:
                if checkpointed:
                    fitting = self.recipe.batch_size // 2
                    raise BenchmarkError(
                        f"out of memory with {self.recipe.batch_size} pairs, with gradient checkpointing too: the loss needs "
                        f"the whole batch; try --set batch_size={fitting}, --set precision=bf16 or a smaller image_size"
                    ) from error
                self.watching.notify("out of memory: activations are now computed again in the backward pass")
                marker.touch()
            del inputs, encoder
            gc.collect()
            torch.cuda.empty_cache()

    def _fits(self) -> bool:
        """Says how much memory the training needs, and returns whether the device has it."""
        encoder = self._encoder().to(self.device).to(memory_format=torch.channels_last)
        size = self.recipe.image_size
        sample = torch.zeros(4, 3, size, size, dtype=torch.uint8, device=self.device)
        half = self.recipe.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            per_view = saved_bytes(encoder, UNIT_INTERVAL, sample)
        weights = 4 * 4 * sum(parameter.numel() for parameter in encoder.parameters())  # with gradients and momentum
        needed = 2 * self.recipe.batch_size * (per_view + size * size * 3) + weights
        free = _free_memory(self.device)
        beside = "" if free is None else f"; {free / 1e9:,.1f} GB are free"
        self.watching.notify(
            f"about {needed / 1e9:,.1f} GB of memory are needed ({per_view / 1e6:,.1f} MB for each of "
            f"{2 * self.recipe.batch_size:,} views){beside}"
        )
        if free is None or needed <= free:
            return True
        self.watching.notify("the batch does not fit: activations are computed again in the backward pass")
        return False

    def _entry(self, fit: Fit, num_images: int, note: str) -> ZooEntry:
        images, start, title = self.images, self.start, TITLES[self.method]
        task = images.task
        root = task.root if task else images.name
        patients = images.patients
        return ZooEntry(
            name=self.name,
            title=self.title or f"{start.name}, then {title} on {images.name}",
            family=family_of(start),
            method=title,
            architecture=start.architecture,
            pretrained_on=data_sets_of(start, data_set_name(root, phantom=images.index.phantom)),
            source=f"file:{self.name}.safetensors",
            container="safetensors",
            naming="timm",
            input=InputStatistics(mean=UNIT_INTERVAL[0], std=UNIT_INTERVAL[1]),
            positions=start.positions,
            licence=licence_of(start, images.name, task.licence if task else ""),
            cite=f"made by `benchmark pretrain {self.method}` from {start.name} on {images.name}",
            made_by={
                "method": self.method,
                "from": start.name,
                "from_sha256": self._start_digest,
                **({"task": task.name} if task else {"images": str(images.index.root)}),
                **({"bags": self.bags} if self.bags else {}),
                "data": "phantom" if images.index.phantom else "official" if task else "own",
                "data_digest": images.index.digest,
                "num_images": num_images,
                **({"num_patients": len(patients)} if patients is not None else {}),
                "seed": self.seed,
                "key": self.key,
                "recipe": self.recipe.model_dump(mode="json"),
                **({"note": note} if note else {}),
                "scores": {
                    name.removeprefix("validation_"): round(value, 4)
                    for name, value in fit.history[-1].items()
                    if name.startswith("validation_")
                },
                "history": [{name: float(f"{value:.5g}") for name, value in line.items()} for line in fit.history],
            },
        )


CHECKPOINTED = "gradient checkpointing: batch norms' running statistics saw each batch twice"


def _free_memory(device: torch.device) -> int | None:
    """Returns the bytes that the device has free; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)
    limits = [limit for limit in (available, memory_limit()) if limit is not None]
    return min(limits, default=None)
