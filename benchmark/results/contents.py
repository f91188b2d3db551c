"""What a cell's folder holds beside its record, as bytes: predictions, the attention and the embedding of a fusion."""

import io
import json
from typing import TYPE_CHECKING

from benchmark.cell import Cell
from benchmark.results.predictions import Predictions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREDICTIONS = ("predictions.npz", "unlabelled.npz", "validation.npz")
ATTENTION, EMBEDDING = "attention.json", "embedding.npy"
WEIGHTS = "weights.safetensors"


def encode_contents(
    cell: Cell,
    predictions: Predictions | None,
    unlabelled: Predictions | None,
    attention: "NDArray[np.float64] | None",
    embedding: "NDArray[np.float16] | None",
) -> dict[str, bytes]:
    """Returns the files of a cell, by name; none for what is None."""
    import numpy as np  # `status` reads records alone

    contents: dict[str, bytes] = {}
    validation = None if predictions is None else predictions.validation
    for name, some in zip(PREDICTIONS, (predictions, unlabelled, validation), strict=True):
        if some is not None:
            contents[name] = some.to_bytes()
    if attention is not None:
        fields = {"encoders": [weights.name for weights in cell.weights], "attention": attention.tolist()}
        contents[ATTENTION] = (json.dumps(fields) + "\n").encode()
    if embedding is not None:
        buffer = io.BytesIO()
        np.save(buffer, embedding)
        contents[EMBEDDING] = buffer.getvalue()
    return contents


def decode_embedding(content: bytes) -> "NDArray[np.float16]":
    """Returns the array of an embedding's file, examples x width."""
    import numpy as np

    return np.load(io.BytesIO(content), allow_pickle=False)


def decode_attention(content: bytes) -> "tuple[list[str], NDArray[np.float64]]":
    """Returns the names of the encoders, and the attention between them, encoders x encoders."""
    import numpy as np

    fields = json.loads(content)
    return list(fields["encoders"]), np.asarray(fields["attention"])
