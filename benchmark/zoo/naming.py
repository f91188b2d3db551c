"""Names of tensors in upstream files -> names in the encoder: one table, one rule.

A tensor whose name begins with a `drop` prefix is left out by that name; every other must begin with `strip`, which
is taken off once; what then has no place in the encoder is an error of `zoo.backbone`, never skipped here. Dropping is
looked at before stripping, since a head may carry the encoder's own prefix (`module.encoder_q.fc.`).
"""

from dataclasses import dataclass

from benchmark.fault import Fault, did_you_mean, first_few


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How one family of upstream files names an encoder's tensors."""

    strip: str = ""
    drop: tuple[str, ...] = ()
    drop_classifier: bool = False  # the architecture's own classifier, by timm's name for it


NAMINGS: dict[str, Naming] = {
    # the encoder alone, in its own names (Barlow Twins' resnet50.pth)
    "plain": Naming(),
    # a torchvision classifier, and all that keeps its names (iNat2021, Zenodo's CXR14 and CheXpert)
    "torchvision": Naming(drop=("fc.",)),
    # a timm model, with or without its classifier
    "timm": Naming(drop_classifier=True),
    # MoCo v1/v2 and PCL: the query encoder; its head, the key encoder and the queue are left
    "moco": Naming(
        strip="module.encoder_q.",
        drop=("module.encoder_q.fc.", "module.encoder_k.", "module.queue", "module.queue_ptr"),
    ),
    # SwAV, DeepCluster-v2, SeLa-v2
    "swav": Naming(strip="module.", drop=("module.projection_head.", "module.prototypes.")),
}


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """`names` maps the encoder's names to the file's; `dropped` are the file's names that were left out by name."""

    names: dict[str, str]
    dropped: list[str]


def rename(file_names: list[str], naming: str, classifier: tuple[str, ...] = ()) -> Renamed:
    """Apply a naming. `classifier` are timm's names of the architecture's classifier modules.

    Raises Fault for a naming that there is not, and for names that neither begin with its prefix nor are dropped by it.
    """
    if naming not in NAMINGS:
        raise Fault(f"no naming {naming!r}: {did_you_mean(naming, NAMINGS)}")
    rule = NAMINGS[naming]
    drop = rule.drop + (tuple(f"{name}." for name in classifier) if rule.drop_classifier else ())
    names, dropped, foreign = {}, [], []
    for name in file_names:
        if name.startswith(drop):
            dropped.append(name)
        elif name.startswith(rule.strip):
            names[name.removeprefix(rule.strip)] = name
        else:
            foreign.append(name)
    if foreign:
        raise Fault(
            f"naming {naming!r} wants tensors named {rule.strip}…, found {first_few(foreign)}: "
            f"the file is of another kind (namings: {', '.join(NAMINGS)})"
        )
    return Renamed(names=names, dropped=dropped)
