"""An encoder that is made here: its name is checked before hours of training, its terms are those of both parents."""

import pytest

from benchmark.pretrain.entry import family_of, licence_of
from benchmark.zoo.catalog import read_zoo, scratch


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "", "x" * 101, "all", "family:ssl", "scratch:mine", ".hidden", "[/]", "a b"]
)
@pytest.mark.parametrize(
    "verb", [("pretrain", "supervised", "--from", "imagenet", "--task", "TXC"), ("zoo", "add", "net.pth")]
)
def test_a_name_that_no_entry_can_have_is_refused_before_anything_is_done(cli, workspace, verb, name):
    ran = cli(*verb, "--name", name)

    assert ran.code == 2
    assert ran.err.startswith("error: name: ")
    assert ran.err.count("\n") == 1
    assert not workspace.home.exists()
    assert not workspace.results.exists()


@pytest.mark.parametrize(
    ("start", "task", "licence", "family"),
    [
        ("imagenet", "VFS-CHASE", "BSD-3-Clause (torchvision); VFS-CHASE's images: CC BY 4.0", "domain-adapted"),
        ("cxr14", "VFS-CHASE", "see https://zenodo.org/record/5205234; VFS-CHASE's images: CC BY 4.0", "in-domain"),
        ("scratch", "VFS-CHASE", "VFS-CHASE's images: CC BY 4.0", "in-domain"),
        ("not told", "VFS-CHASE", "not told; VFS-CHASE's images: CC BY 4.0", "domain-adapted"),
    ],
)
def test_licence_and_family_follow_both_parents(workspace, tasks, start, task, licence, family):
    entries = read_zoo(workspace.project / "model_zoo.yaml") | {"scratch": scratch()}
    entry = entries.get(start) or entries["imagenet"].model_copy(update={"licence": ""})

    made = licence_of(entry, task, tasks[task].licence)

    assert made.removesuffix(" (Kingston University)") == licence
    assert family_of(entry) == family
    assert (
        licence_of(entry.model_copy(update={"licence": made, "container": "torch"}), task, tasks[task].licence) == made
    ), "told once"
