"""Writes phantoms in the layout of RSNA STR Pulmonary Embolism Detection; `data.readers.rsna_pe` draws the folder tree."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.data.phantoms.drawing.scan import ct
from benchmark.data.phantoms.files import write_ct
from benchmark.data.phantoms.folder import PhantomSpec
from benchmark.data.readers.rsna_pe import FOLDER, SERIES, SLICE, STUDY, SUFFIX, TABLE
from benchmark.tasks.spec import TaskSpec

OF_EXAM = (
    "negative_exam_for_pe", "qa_motion", "qa_contrast", "flow_artifact", "rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1",
    "leftsided_pe", "chronic_pe", "true_filling_defect_not_pe", "rightsided_pe", "acute_and_chronic_pe", "central_pe",
    "indeterminate",
)  # fmt: skip


def write_phantom(root: Path, task: TaskSpec, spec: PhantomSpec) -> None:
    """Writes studies of six to ten slices, fewer where `spec.num` is small; two studies in five have an embolism on
    consecutive slices.
    """
    rng = np.random.default_rng(spec.seed)
    rows: list[dict[str, object]] = []
    study = 0
    while (left := spec.num - len(rows)) > 0:
        study += 1
        # 2.25: UIDs derived from numbers of one's own
        study_id, series_id = f"2.25.{spec.seed}.{study}.1", f"2.25.{spec.seed}.{study}.2"
        count = min(int(rng.integers(6, 11)), max(2, spec.num // 12), left)
        ill = study % 5 in (2, 4)
        length = int(rng.integers(1, count // 2 + 2))
        start = int(rng.integers(0, count - length + 1))
        of_exam = dict.fromkeys(OF_EXAM, 0) | {"negative_exam_for_pe": int(not ill), "central_pe": int(ill)}
        of_exam["rv_lv_ratio_lt_1"] = int(ill)
        for number in range(count):
            drawn = ill and start <= number < start + length
            names = {STUDY: study_id, SERIES: series_id, SLICE: f"2.25.{spec.seed}.{study}.3.{number + 1}"}
            place = root / FOLDER / study_id / series_id / f"{names[SLICE]}{SUFFIX}"
            tags = {STUDY: study_id, SERIES: series_id, "InstanceNumber": str(number + 1)}
            write_ct(place, ct(rng, spec.size, embolism=drawn), uid=names[SLICE], tags=tags)
            rows.append({**names, task.labels[0]: int(drawn), **of_exam})
    pd.DataFrame(rows).to_csv(root / TABLE, index=False)
