"""What weights were made from: each parent back to the first, with its data, recipe and license."""

from benchmark.files import digest_of
from benchmark.zoo.ancestry import ancestry, describe
from benchmark.zoo.catalog import ZooEntry, add_entry

RECIPE = {"max_epochs": 2}


def entry_of(name, pretrained_on, licence, parent=None):
    made_by = {"from": parent, "data_digest": f"{name:0<16}", "recipe": RECIPE} if parent else None
    return ZooEntry(
        name=name, family="own", method=name.upper(), architecture="resnet18", container="safetensors", naming="timm",
        pretrained_on=pretrained_on, licence=licence, cite="nobody", made_by=made_by,
    )  # fmt: skip


ROOT = entry_of("root", ("ImageNet-1k",), "BSD")
SIMCLR = entry_of("simclr", ("ImageNet-1k", "skin"), "BSD; skin's images: CC BY", "root")
MICLE = entry_of("micle", ("ImageNet-1k", "skin", "bags"), "BSD; skin's images: CC BY; bags: CC0", "simclr")
ALL = {entry.name: entry for entry in (ROOT, SIMCLR, MICLE)}


def test_parents_are_told_from_the_first_on_each_with_its_own_data():
    recipe = digest_of(RECIPE)[:16]

    assert describe(ancestry(MICLE, ALL)) == [
        "root: ROOT; data: ImageNet-1k; license: BSD",
        f"└─ simclr: SIMCLR; data: skin; data digest simclr0000000000; recipe {recipe}; license: {SIMCLR.licence}",
        f"   └─ micle: MICLE; data: bags; data digest micle00000000000; recipe {recipe}; license: {MICLE.licence}",
    ]


def test_a_parent_that_is_gone_is_said_and_a_circle_ends():
    circle = entry_of("root", (), "BSD", "micle")

    assert describe(ancestry(SIMCLR, {}))[0] == "root: no entry of the zoo any more"
    assert [one.name for one in ancestry(MICLE, ALL | {"root": circle})] == ["micle", "root", "simclr", "micle"]


def test_zoo_show_prints_the_tree(cli, workspace):
    add_entry(workspace.own_zoo, ROOT)
    add_entry(workspace.own_zoo, SIMCLR)

    printed = cli("zoo", "show", "simclr")

    assert "made from:\nroot: ROOT; data: ImageNet-1k; license: BSD\n└─ simclr: SIMCLR; data: skin" in printed.out
    assert "made from" not in cli("zoo", "show", "root").out
