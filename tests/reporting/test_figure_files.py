"""What cells keep beside their predictions reaches the figures: features of frozen encoders, fusions, attention."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

NET, OTHER = "scratch:test_resnet", "scratch:test_efficientnet"
TINY = ("--set", "image_size=32", "--set", "max_epochs=1", "--set", "min_epochs=1", "--seeds", "1")
FIGURES = """
name: own
title: own
models: "{net}"
tasks: APTOS
figures:
  plane: {{kind: tsne, title: features, tasks: [APTOS], perplexity: 3}}
  attention: {{kind: attention, title: attention, tasks: [APTOS], protocols: [dvme]}}
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(FIGURES.format(net=NET))
    return str(path)


@pytest.mark.slow
def test_features_and_attention_are_drawn_from_what_the_cells_keep(cli, workspace, suite):
    assert cli("run", "--protocol", "linear", "--models", NET, "--tasks", "APTOS", *TINY).code == 0
    assert cli("run", "--protocol", "dvme", "--models", f"{NET}+{OTHER}", "--tasks", "APTOS", *TINY).code == 0

    ran = cli("report", "--suite", suite, "--figure", "plane", "--figure", "attention")

    assert ran.code == 0, ran.text
    folder = workspace.results / "reports" / "own"
    plane = pd.read_csv(folder / "figure-plane.csv")
    assert set(plane["model"]) == {NET, f"{OTHER}+{NET}"}
    assert np.isfinite(plane[["x", "y"]]).all(axis=None)
    assert (plane.groupby("model").size() == 8).all()
    caption = (folder / "figure-plane.txt").read_text()
    assert "perplexity 3" in caption
    assert "seed 0" in caption
    assert "PHANTOM" in caption
    attention = pd.read_csv(folder / "figure-attention.csv")
    np.testing.assert_allclose(attention.groupby("from")["mean"].sum(), 1, rtol=1e-5)
    with Image.open(folder / "figure-plane.png") as drawn:
        assert drawn.size[0] > 300


@pytest.mark.slow
def test_features_that_were_deleted_are_told(cli, workspace, suite):
    import shutil

    assert cli("run", "--protocol", "linear", "--models", NET, "--tasks", "APTOS", *TINY).code == 0
    shutil.rmtree(workspace.features)

    ran = cli("report", "--suite", suite, "--figure", "plane")

    assert ran.code == 2
    assert "no features are kept" in ran.text
