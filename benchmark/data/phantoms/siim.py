"""Writes phantoms in the layout of SIIM-ACR Pneumothorax Segmentation; `data.readers.siim` draws the folder tree."""

from pathlib import Path

import numpy as np

from benchmark.data.phantoms.drawing.radiograph import chest
from benchmark.data.phantoms.files import encode_rle, write_dicom
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.tasks.spec import TaskSpec


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:  # noqa: ARG001 - a reader's signature
    """Writes radiographs, two in five with a pneumothorax (in the real set about one in four), a few of these in two
    runs.
    """
    rng = np.random.default_rng(spec.seed)
    lines = ["ImageId, EncodedPixels"]
    for number in range(spec.num):
        # 2.25: UIDs derived from numbers of one's own
        study, series, image_id = (f"2.25.{spec.seed}.{number + 1}.{level}" for level in (1, 2, 3))
        ill = number % 5 in (0, 2)
        image = chest(rng, spec.size, ["Pneumothorax"] if ill else [])
        patient = f"phantom-{number * 2 // 3:05d}"
        tags = {
            "PatientID": patient,
            "PatientSex": str(rng.choice(["F", "M"])),
            "PatientAge": f"{rng.integers(18, 90):03d}Y",
            "ViewPosition": str(rng.choice(["PA", "AP"])),
        }
        place = root / "dicom-images-train" / study / series / f"{image_id}.dcm"
        write_dicom(place, image.pixels, uid=image_id, tags=tags)
        halves = [image.pneumothorax]
        if ill and number % 10 == 0:  # official tables give separate areas of one image in separate rows
            upper = image.pneumothorax.copy()
            upper[spec.size // 3 :] = False
            halves = [upper, image.pneumothorax & ~upper]
        lines += [f"{image_id},{encode_rle(mask)}" for mask in halves]
    (root / "train-rle.csv").write_text("\n".join(lines) + "\n")
