"""The nine checks of a data set, on its index and on one pass over its images.

Verdicts: PASS; WARN where results are possible but must be read with the finding in mind; FAIL where they would be wrong
or impossible.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from benchmark.data.image_files import RLE, files_of
from benchmark.data.index import MASKS, SPLITS, UNCERTAIN, Index
from benchmark.data.scan import ScannedImage, file_of
from benchmark.tasks.spec import TaskSpec
from benchmark.text import first_few, plural

FULL = 0.95  # a mask of more than this share of its image is doubtful
AGAIN = "copy them again from their source"
Verdict = Literal["PASS", "WARN", "FAIL", "left out"]
Problem = tuple[Literal["WARN", "FAIL"], str, str]  # verdict, finding, fix
CHECKS = ("index", "counts", "files", "images", "masks", "labels", "duplicates", "patients", "split")


@dataclass(frozen=True, kw_only=True)
class Check:
    """Holds one check's verdict; `details` are plain values to be written to a file."""

    name: str
    verdict: Verdict
    finding: str
    fix: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def check_counts(index: Index, task: TaskSpec, splits: pd.Series | None) -> Check:
    """Compares the data set with the published counts of its sheet: images, patients, splits, positives of labels, normals."""
    table, labels = index.table, [label for label in index.labels if label in index.table]
    counted = {"images": len(table), "patients": table["patient"].nunique()}
    official = table["part"] if (table["part"] != "").any() else splits
    if official is not None:
        counted |= {split: int((official == split).sum()) for split in SPLITS}
        if official is splits and "validation" not in task.counts:
            counted["train"] += counted[
                "validation"
            ]  # a sheet without a validation count includes those images in training
    if labels:
        counted |= {label: int((table[label] == 1).sum()) for label in labels}
        counted["normal"] = int((table[labels] == 0).all(axis=1).sum())
    compared = {key: {"here": counted[key], "published": count} for key, count in task.counts.items() if key in counted}
    not_compared = [key for key in task.counts if key not in counted]
    numbers = {key: f"{key} {pair['here']:,} of {pair['published']:,}" for key, pair in compared.items()}
    uncompared_note = f"not compared: {', '.join(not_compared)}" if not_compared else ""
    details: dict[str, Any] = {"compared": compared, "not_compared": not_compared}
    if index.phantom:
        return make_check("counts", f"phantoms, not compared: {', '.join(numbers.values())}", **details)
    different = [numbers.pop(key) for key, pair in compared.items() if pair["here"] != pair["published"]]
    finding = "; ".join(filter(None, (", ".join(numbers.values()), uncompared_note))) or (
        "" if different else "the sheet publishes none"
    )
    fix = f"{task.get or 'get the rest'}; where a part of the data set is meant, say so with every result"
    problems: list[Problem] = [("WARN", f"unlike the published: {', '.join(different)}", fix)] if different else []
    return make_check("counts", finding, problems, **details)


def check_files(index: Index) -> Check:
    """Checks for images under the root that no row names. Names that lead out of the root are another data set's."""
    images = {os.path.normpath(name) for name in index.table["image"]}
    # next to an HDF5 file of images there are others, such as one of labels
    own = {name for name in images if not name.startswith("..") and file_of(name) == name}
    if not own:
        return make_check(
            "files", "not searched for others: images are another data set's, or rows of a file", extra=[]
        )
    suffixes = tuple({Path(name).suffix.lower() for name in own})
    named = own | {
        os.path.normpath(f) for c in MASKS if c in index.table for name in index.table[c] for f in files_of(name)
    }
    if index.unlabelled is not None:
        named |= {os.path.normpath(file_of(name)) for name in index.unlabelled["image"]}
    extra = []
    for folder, _, names in os.walk(index.root, followlinks=True):
        below = folder.removeprefix(str(index.root)).lstrip(os.sep)
        paths = [f"{below}/{n}".lstrip("/") for n in names if n.lower().endswith(suffixes) and n[0] != "."]
        extra += [path for path in paths if path not in named]
    what = f"{plural(len(extra), 'image file')} that no row names: {first_few(sorted(extra))}"
    problems: list[Problem] = [("WARN", what, "move them out, or get the tables that name them")] if extra else []
    return make_check("files", f"{plural(len(named), 'file')} named", problems, extra=sorted(extra))


def check_images(index: Index, scanned: list[ScannedImage], *, leave_out: bool) -> Check:
    """Checks that every image decodes, that no phantom is among real ones and that none is blank; reports their sizes."""
    good = [one for one in scanned if not one.fault]
    bad = [{"image": _image(index, one), "reason": one.fault} for one in scanned if one.fault]
    sizes = sorted({(one.width, one.height) for one in good})
    sides = [side for size in sizes for side in size]
    gray = sum(one.channels == 1 for one in good)
    phantoms = [] if index.phantom else [_image(index, one) for one in good if one.phantom]
    blank = [_image(index, one) for one in good if one.blank]
    problems: list[Problem] = []
    if bad:
        what = f"{plural(len(bad), 'unreadable image')}: {first_few(line['image'] for line in bad)}"
        fix = (
            "they are left out of training and evaluation; copy them again where they should count"
            if leave_out
            else AGAIN
        )
        problems.append(("WARN" if leave_out else "FAIL", what, fix))
    if phantoms:
        what = f"{plural(len(phantoms), 'phantom')} in a folder that is not marked as one: {first_few(phantoms)}"
        problems.append(("FAIL", what, "delete the folder and get the official images"))
    if blank:
        what = f"{plural(len(blank), 'blank image')} (one value only): {first_few(blank)}"
        problems.append(("WARN", what, "copy them again; if they are blank at the source, bear it in mind"))
    sample = "" if len(scanned) == len(index.table) else f", a sample of {len(index.table):,}"
    finding = f"{len(good):,} of {len(scanned):,} decode{sample}"
    if sides:
        finding += f"; {min(sides):,} to {max(sides):,} pixels a side, {plural(len(sizes), 'size')}"
        finding += f"; {gray:,} gray, {len(good) - gray:,} color"
    return make_check(
        "images",
        finding,
        problems,
        unreadable=bad,
        phantoms=phantoms,
        blank=blank,
        side={"smallest": min(sides, default=None), "largest": max(sides, default=None)},
        num_sizes=len(sizes),
        gray=gray,
        color=len(good) - gray,
    )


def check_masks(index: Index, scanned: list[ScannedImage]) -> Check:
    """Checks that every mask can be read and fits its image; reports empty, full and gray-edged ones."""
    columns = [column for column in MASKS if column in index.table]
    if not columns:
        return make_check("masks", "no segmentation: there are none")
    problems: list[Problem] = []
    details: dict[str, Any] = {}
    findings = []
    for column in columns:
        pairs = [(_image(index, one), mask) for one in scanned for mask in one.masks if mask.column == column]
        faults = [mask.fault for _, mask in pairs if mask.fault]
        good = [(image, mask) for image, mask in pairs if not mask.fault]
        shares = [mask.share for _, mask in good]
        full = [image for image, mask in good if mask.share > FULL] if column != "field_of_view" else []
        gray = [image for image, mask in good if not mask.two_valued]
        num_empty = sum(share == 0 for share in shares)
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            problems.append(("FAIL", f"{plural(len(faults), column)} unreadable or unfit: {faults[0]}{more}", AGAIN))
        if full:
            what = f"{plural(len(full), column)} over more than {FULL:.0%} of the image: {first_few(full)}"
            problems.append(("WARN", what, "check whether they are inverted: `benchmark data show`"))
        if gray:
            what = f"{plural(len(gray), column)} of more than two values, thresholded at half: {first_few(gray)}"
            problems.append(("WARN", what, "get lossless masks, or bear their edges in mind"))
        span = f", {min(shares):.1%} / {np.mean(shares):.1%} / {max(shares):.1%} set (min/mean/max)" if shares else ""
        findings.append(f"{column}: {len(pairs):,} of {len(scanned):,} images{span}, {num_empty:,} empty")
        details[column] = {
            "named": len(pairs),
            "share": {"min": min(shares), "mean": float(np.mean(shares)), "max": max(shares)} if shares else None,
            "empty": num_empty,
            "faults": faults,
            "full": full,
            "not_two_valued": gray,
        }
    return make_check("masks", "; ".join(findings), problems, **details)


def check_labels(index: Index, *, exclusive: bool) -> Check:
    """Reports the labels' prevalence; warns of labels that all images have, or none has."""
    table = index.table
    if "mask" in table:
        num = int(_positives(index)["mask"].sum())
        return make_check("labels", f"{num:,} of {len(table):,} images have a mask that is not empty", with_mask=num)
    labels: dict[str, dict[str, Any]] = {}
    for label in index.labels:
        values = table[label]
        positive, negative = int((values == 1).sum()), int((values == 0).sum())
        labels[label] = {
            "positive": positive,
            "negative": negative,
            "uncertain": int((values == UNCERTAIN).sum()),
            "not_labelled": int(values.isna().sum()),
            "prevalence": positive / (positive + negative) if positive + negative else None,
        }
    problems: list[Problem] = []
    for value in ("positive", "negative"):
        if without := [label for label, counted in labels.items() if not counted[value]]:
            what = f"no {value} of {first_few(without, 6)}"
            problems.append(
                ("WARN", what, "such a label cannot be learned or scored: check whether the copy is complete")
            )
    common = sorted(labels, key=lambda label: -labels[label]["positive"])
    counts = [
        f"{label} {labels[label]['positive']:,}" + ("" if exclusive else f" ({labels[label]['prevalence'] or 0:.1%})")
        for label in common
    ]
    finding = f"{plural(len(labels), 'class' if exclusive else 'label', 'classes' if exclusive else 'labels')}: "
    finding += first_few(counts, 5)
    for value in ("uncertain", "not_labelled"):
        if num := sum(counted[value] for counted in labels.values()):
            finding += f"; {num:,} values {value.replace('_', ' ')}"
    return make_check("labels", finding, problems, labels=labels)


def check_duplicates(index: Index, splits: pd.Series | None, scanned: list[ScannedImage]) -> Check:
    """Checks for images of identical bytes: in two splits, within one split, with different labels."""
    table = index.table
    digests = pd.Series({one.row: one.digest for one in scanned if one.digest}, dtype=object)
    copies = digests[digests.duplicated(keep=False)]
    leaked, repeated, contradictory, groups = list[str](), list[str](), list[str](), list[dict[str, Any]]()
    for digest, rows in sorted(copies.groupby(copies).groups.items()):
        same = table.iloc[list(rows)]
        ids = same["id"].tolist()
        splits_of_copies = sorted(set(splits[same.index])) if splits is not None else []
        labels = [label for label in index.labels if label in same]
        agree = not labels or len(same[labels].fillna(np.inf).drop_duplicates()) == 1
        copies_of = " = ".join(ids[:3])
        if len(ids) > 3:
            copies_of += f" (and {len(ids) - 3} more)"
        (leaked if len(splits_of_copies) > 1 else repeated).append(
            f"{copies_of} ({', '.join(splits_of_copies)})" if splits_of_copies else copies_of
        )
        if not agree:
            contradictory.append(copies_of)
        groups.append({"sha256": digest, "ids": ids, "parts": splits_of_copies, "labels_agree": agree})
    problems: list[Problem] = []
    if leaked:
        what = f"the same image trains and tests: {plural(len(leaked), 'image')} in more than one split: {first_few(leaked)}"
        problems.append(("FAIL", what, "remove all copies but one"))
    if contradictory:
        what = f"{plural(len(contradictory), 'image')} with different labels: {first_few(contradictory)}"
        problems.append(("WARN", what, "find out which label is right, or remove both"))
    if repeated:
        what = f"{plural(len(repeated), 'image')} more than once in a split: {first_few(repeated)}"
        problems.append(("WARN", what, "remove all copies but one"))
    sample = "" if len(scanned) == len(table) else f" (of a sample of {len(table):,})"
    return make_check(
        "duplicates", f"{digests.nunique():,} different images of {len(digests):,}{sample}", problems, groups=groups
    )


def check_patients(index: Index, splits: pd.Series | None, *, one_each: bool) -> Check:
    """Checks that no patient is in two splits and that patients are known. `one_each`: each patient has one image (sheet)."""
    table = index.table
    by_image = bool((table["patient"] == table["id"]).all())
    problems: list[Problem] = []
    details: dict[str, Any] = {"patients": table["patient"].nunique(), "known": not by_image}
    finding = plural(details["patients"], "patient")
    if splits is not None:
        pairs = pd.DataFrame({"patient": table["patient"], "part": splits}).drop_duplicates()
        details["by_part"] = {split: int((pairs["part"] == split).sum()) for split in SPLITS}
        details["in_two_parts"] = sorted(pairs["patient"][pairs["patient"].duplicated()].unique().tolist())
        finding += ": " + ", ".join(f"{split} {num:,}" for split, num in details["by_part"].items())
        if leaked := details["in_two_parts"]:
            what = f"{plural(len(leaked), 'patient')} in more than one split: {first_few(leaked)}"
            problems.append(("FAIL", what, "keep all images of a patient in one split"))
    if by_image and not one_each:
        what = "patients unknown: split by image, so that one patient's images may be in training and in test"
        problems.append(("WARN", what, "bear it in mind with every result"))
    return make_check("patients", finding, problems, **details)


def check_split(index: Index, splits: pd.Series | None, why: str, scored: Sequence[str] | None) -> Check:
    """Reports the splits' sizes and prevalence; warns of labels that a split lacks.

    `why`: the reason where there are no splits; `scored`: the labels that scores are averaged over.
    """
    if splits is None:
        return make_check("split", "", [("FAIL", why, "as the finding says")])
    positives = _positives(index)
    details: dict[str, Any] = {}
    lacking = []
    for split in SPLITS:
        rows = positives[splits == split]
        shares = {label: float(share) for label, share in rows.mean().items()}
        details[split] = {"images": len(rows), "prevalence": shares}
        wanted = [
            label for label in shares if positives[label].any() and (split == "train" or label in (scored or shares))
        ]
        lacking += [f"{label} in {split}" for label in wanted if not shares[label]]
    only = positives.columns[0] if positives.shape[1] == 1 else None
    finding = ", ".join(
        f"{split} {facts['images']:,}"
        + (f" ({facts['prevalence'][only]:.1%} {only.replace('mask', 'with a mask')})" if only else "")
        for split, facts in details.items()
    )
    fix = "such a label is not learned, or not scored, there: get more images, or use another split"
    problems: list[Problem] = [("WARN", f"no positive of {first_few(lacking, 6)}", fix)] if lacking else []
    return make_check("split", finding, problems, parts=details)


def make_check(name: str, finding: str, problems: Sequence[Problem] = (), **details: Any) -> Check:
    """Returns a check with the worst verdict of its problems, which come first in its finding."""
    worst: Verdict = min((problem[0] for problem in problems), default="PASS")  # FAIL comes before WARN
    findings = [*(finding for _, finding, _ in problems), *([finding] if finding else [])]
    fixes = dict.fromkeys(fix for _, _, fix in problems)
    return Check(name=name, verdict=worst, finding="; ".join(findings), fix="; ".join(fixes), details=details)


def _positives(index: Index) -> pd.DataFrame:
    """Returns a column of booleans for each label; for segmentation, whether the mask is not empty."""
    table = index.table
    return ~table[["mask"]].isin(["", RLE]) if "mask" in table else table[list(index.labels)] == 1


def _image(index: Index, one: ScannedImage) -> str:
    return str(index.table["image"].iloc[one.row])
