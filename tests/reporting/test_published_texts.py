"""Each published number is in the text that it came from, in its row and column, and none of a table is left out.

The texts are read from BENCHMARK_PAPERS, where it names a folder with them: 004 (Hosseinzadeh Taher 2021), 003 (Truong
2021), 000 and 001 (Azizi 2021 and its supplement), 002 (another printing of both). Every table is laid out here by hand:
its rows' titles in their order, and what each of their numbers is of. The rows of Azizi's tables are read in 002, where
the extraction has not torn them; that 000 and 001 print the same numbers is checked without their order.
"""

import csv
import io
import os
import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from conftest import CHECKOUT

from benchmark.tasks.registry import read_tasks

pytestmark = pytest.mark.real
PAPERS = Path(os.environ["BENCHMARK_PAPERS"]) if os.environ.get("BENCHMARK_PAPERS") else None
PRIMARY = {name: task.metric for name, task in read_tasks(CHECKOUT / "tasks").items()}

PAIR = r"(-?\d+(?:\.\d+)?)[\\%$\s]*±\s*(\d+(?:\.\d+)?)"  # a mean and what stands after ±
ALONE = r"\b(0\.\d{4})\b"
COUNT = r"\b(\d+\.\d) [KM]\b"
NOT_APPLICABLE = r"(?<=\t)-(?=\t)"

# numbers of a table's span of text that are none of the table's, and why
EXCEPTED = {
    ("taher2021", "2"): {
        "footnotes: this paper's best beside others' results": "82.25±0.18 87.40±0.26 95.35±1.86 98.47±0.26 68.41±0.14 "
        "69.52±0.38 96.94±2.67 98.31±0.05"
    },
    ("azizi2021", "1"): {"section 5.1: an increase": "1.92±0.16"},
    ("azizi2021", "2"): {"sections 5.2 and 5.3: an increase, a row of table 3": "1.18±0.09 70.02±0.22"},
}


def cell(task, model, metric="", protocol="finetune", subset=""):
    """What tells a number from others of its table."""
    return (task, model, protocol, subset, metric or PRIMARY[task])


def taher():
    rows = {}
    adapted = {"ChestX-ray14": "cxr14", "CheXpert": "chexpert"}
    first = {"Scratch": "scratch", "ImageNet": "imagenet", **adapted}
    first |= {"ImageNet→ChestX-ray14": "imagenet-cxr14", "ImageNet→CheXpert": "imagenet-chexpert"}
    of = ("DXC14", "DXC5", "TXC", "PXS", "LXS")
    rows["2"] = [(title, [cell(task, model) for task in of]) for title, model in first.items()]
    sources = {"ImageNet 1.3M": "imagenet", "iNat2021 mini 500K": "inat2021-mini", "iNat2021 2.7M": "inat2021"}
    rows["3"] = [(title, [cell(task, m) for task in ("PXS", "VFS", "LXS")]) for title, m in sources.items()]
    tasks = {
        "Pneumothorax segmentation (PXS)": "PXS",
        "Lung segmentation (LXS)": "LXS",
        "Blood Vessels Segmentation (VFS)": "VFS",
        "14 thorax diseases classification (DXC $_{14}$)": "DXC14",
        "5 thorax disease classification (DXC $_5$)": "DXC5",
        "Tuberculosis Detection (TXC)": "TXC",
        "Pulmonary Embolism Detection (ECC)": "ECC",
    }
    rows["4"] = [(title, [cell(task, m) for m in ("scratch", "imagenet", "inat2021")]) for title, task in tasks.items()]
    methods = "InsDis MoCo-v1 PCL-v1 PIRL PCL-v2 SimCLR-v1 MoCo-v2 SimCLR-v2 SeLa-v2 InfoMin BYOL DeepCluster-v2 SwAV"
    ssl = {"Supervised": "imagenet", **{m: m.lower() for m in methods.split()}, "Barlow Twins": "barlow-twins"}
    rows["5"] = [
        (title, [cell(task, model) for task in half])
        for half, (title, model) in product((("DXC14", "DXC5", "TXC", "ECC"), ("PXS", "LXS", "VFS")), ssl.items())
    ]
    torn = {"ImageNet→XR14": "imagenet-cxr14", "ImageNet→heXpert": "imagenet-chexpert"}
    top = {title: ssl[title] for title in ("Supervised", "SeLa-v2", "DeepCluster-v2", "SwAV", "Barlow Twins")}
    start = {"Random": "scratch", "ImageNet": "imagenet"}
    for table, of, titles in (
        ("6", ("PXS", "VFS", "LXS"), {**start, "iNat2021": "inat2021"}),
        ("7", ("DXC14", "PXS", "VFS"), {"Random": "scratch", **top}),
        ("8", ("DXC14", "PXS", "LXS"), {**start, "CXR14": "cxr14", "CheXpert": "chexpert", **torn}),
    ):
        rows[table] = [
            (title, [cell(task, model, metric) for task in of for metric in (PRIMARY[task], "epochs")])
            for title, model in titles.items()
        ]
    return rows


def truong():
    fusion = "dino+simclr-v1+swav"
    start = {
        "Random": "scratch",
        "Supervised ImageNet": "imagenet",
        "SwAV": "swav",
        "SimCLR": "simclr-v1",
        "DINO": "dino",
    }
    few, many = "50 100 200 500 Full", "50 100 200 500 1000 2000 5000 10000 20000 Full"
    tasks = {  # how tables 2 to 4 name it, its S and M, the sizes of tables B1 to C4
        "PatchCam": ("PatchCam", "500", "5000", many),
        "APTOS": ("APTOS (*)", "50", "500", few),
        "PneumoniaCXR": ("Pneumonia Chest X-ray", "50", "500", few),
        "NIHCXR4": ("NIH Chest X-ray", "20", "200", "20 50 100 150 200 Full"),
    }
    rows = {"2": [], "3": [], "4": []}
    best = {("APTOS", "50"): "swav"}  # by table 2, all others are DINO's
    for number, (task, (named, s, m, sizes)) in enumerate(tasks.items(), 1):
        of, titled = (s, m, ""), {s: f"{s} (S)", m: f"{m} (M)"}
        for table, protocol in (("2", "linear"), ("3", "finetune")):
            for title, model in start.items():
                told = f"{named} {title}" if title == "Random" else title
                rows[table].append((told, [cell(task, model, "", protocol, size) for size in of]))
        fused = "DVEM" if task == "PatchCam" else "DVME"
        rows["4"].append((f"{named} {fused}", [cell(task, fusion, "", "dvme", size) for size in of]))
        single = [cell(task, best.get((task, size), "dino"), "", "linear", size) for size in of]
        rows["4"].append(("Best single baseline", single))
        for table, columns in (
            (f"B{number}", [(model, "linear") for model in start.values()]),
            (f"B{number + 4}", [(model, "finetune") for model in start.values()]),
            (f"C{number}", [(fusion, "dvme-no-attention"), (fusion, "dvme")]),
        ):
            rows[table] = [
                (titled.get(size, size), [cell(task, m, "", p, size.replace("Full", "")) for m, p in columns])
                for size in sizes.split()
            ]
    trained = {
        "ResNet50": ("resnet50", "linear", "finetune"),
        "ViT": ("dino", "linear", "finetune"),
        "DVME": (fusion, "dvme", "dvme-finetune"),
    }
    rows["G1"] = []
    for title, (model, linear, finetune) in trained.items():
        rows["G1"].append((f"{title} Linear Evaluation", [cell("", model, "trainable_parameters", linear)]))
        rows["G1"].append(("Finetuning", [cell("", model, "trainable_parameters", finetune)]))
    return rows


NETS = {"ResNet-50 (1×)": "r50x1", "ResNet-50 (4×)": "r50x4", "ResNet-152 (2×)": "r152x2"}
IMAGENET = {"r50x1": "simclr-v1", "r50x4": "simclr-v1-4x", "r152x2": "simclr-v2-r152-2x"}
RANDOM = {"r50x1": "scratch", "r50x4": "scratch:resnet50x4", "r152x2": "scratch:resnet152x2"}
FIVE = ("accuracy", "top3_accuracy", "mean_sensitivity", "mean_sensitivity_top3", "mean_auc")


def azizi():
    def of(method, net):
        """The model of a method and net as the tables of the supplement title them."""
        if method in ("SimCLR ImageNet", "Random Initialization"):
            return (IMAGENET if method == "SimCLR ImageNet" else RANDOM)[net]
        return f"{method.lower().replace(' ', '-').replace('→', '-')}-{net}"

    def derm(net, method, *metrics, subset="", suffix=""):
        return [cell("Derm27", of(method, net) + suffix, metric, subset=subset) for metric in metrics]

    def nets(names, *methods):
        return [(f"{name} {method}", NETS[name], method) for name in names for method in methods]

    one, four, deep = NETS
    rows = {}
    rows["1"] = [
        (
            f"{name} {start}Derm {start}CheXpert" if made else f"{name} ImageNet ImageNet",
            [
                *derm(net, f"SimCLR {start}Derm" if made else "SimCLR ImageNet", "accuracy", "mean_auc"),
                cell("CheXpert5", of(f"SimCLR {start}CheXpert" if made else "SimCLR ImageNet", net)),
            ],
        )
        for name, net in NETS.items()
        for made, start in ((False, ""), (True, ""), (True, "ImageNet→"))
    ]
    rows["2"] = [
        (f"{torn}{start}Derm {used}".strip(), derm(net, f"{method} {start}Derm", "accuracy"))
        for net, torns in (("r50x4", ("", "ResNet-50 ", "(4×) ", "")), ("r152x2", ("", "ResNet-152 ", "(2×) ", "")))
        for torn, (start, (used, method)) in zip(
            torns, product(("", "ImageNet→"), (("No", "SimCLR"), ("Yes", "MICLe"))), strict=True
        )
    ]
    for table, task, own in (
        ("3", "Derm27", ("SimCLR ImageNet→Derm", "MICLe ImageNet→Derm")),
        ("4", "CheXpert5", ("SimCLR CheXpert", "SimCLR ImageNet→CheXpert")),
    ):
        rows[table] = [
            (f"{deep} Supervised ImageNet", [cell(task, "supervised-imagenet-r152x2")]),
            ("ResNet-101 (3×) BiT ImageNet-21k", [cell(task, "bit-r101x3")]),
            (f"{deep} SimCLR ImageNet", [cell(task, "simclr-v2-r152-2x")]),
            *[(f"{deep} {method}", [cell(task, of(method, "r152x2") + "-best")]) for method in own],
        ]
    rows["B.1"] = [
        (title, derm(net, method, *FIVE[:2], suffix="-best"))
        for title, net, method in nets((deep, four), "MICLe ImageNet→Derm", "SimCLR ImageNet→Derm")
    ]
    rows["B.1"].append(
        ("ResNet-101 (3×) BiT Supervised", [cell("Derm27", "bit-r101x3", metric) for metric in FIVE[:2]])
    )
    rows["B.2"] = [
        (
            f"{name} {method} Full Augmentation" if how == "full" else f"{name} Partial Augmentation",
            derm(NETS[name], method, "accuracy", "mean_sensitivity", "mean_auc", suffix=f"-{how}-augmentation"),
        )
        for name, method, how in product((deep, four), ("MICLe Derm", "MICLe ImageNet→Derm"), ("full", "partial"))
    ]
    simclr = ("SimCLR ImageNet", "SimCLR Derm", "SimCLR ImageNet→Derm")
    third = nets((one, four, deep), *simclr, "Supervised ImageNet", "Random Initialization")
    rows["B.3"] = [(title, derm(net, method, *FIVE)) for title, net, method in third]
    fourth = nets((deep, four), "MICLe Derm", "SimCLR Derm", "MICLe ImageNet→Derm", "SimCLR ImageNet→Derm")
    rows["B.4"] = [(title, derm(net, method, *FIVE)) for title, net, method in fourth]
    fifth = nets((deep, four), "MICLe ImageNet→Derm", *simclr[:0:-1], "Supervised ImageNet")
    shares = ("10%", "50%", "90%")
    rows["B.5"] = [
        (title, [key for metric in FIVE[:4] for share in shares for key in derm(net, method, metric, subset=share)])
        for title, net, method in fifth
    ]
    labels = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
    sixth = ("SimCLR ImageNet→CheXpert", "SimCLR CheXpert", "SimCLR ImageNet", "Supervised ImageNet")
    rows["B.6"] = [
        (title, [cell("CheXpert5", of(method, net), f"auc:{label}") for label in labels])
        for title, net, method in nets((one, four, deep), *sixth)
    ]
    return rows


LAYOUTS = {"taher2021": taher(), "truong2021": truong(), "azizi2021": azizi()}
TABLES = [(paper, table) for paper, tables in LAYOUTS.items() for table in tables]
PRINTINGS = {"taher2021": ("004",), "truong2021": ("003",)}  # the first is read row by row


def printings(paper, table):
    return PRINTINGS.get(paper) or ("002", "001" if table.startswith("B") else "000")


def span(printing, table):
    """The lines from a table's caption to the next table's or figure's, LaTeX's signs as plain ones."""
    if PAPERS is None:
        pytest.skip("BENCHMARK_PAPERS is not set: no texts of the papers")
    (path,) = PAPERS.glob(f"{printing}_*.txt")
    lines = path.read_text(encoding="utf-8").split("\n")
    captions = [n for n, line in enumerate(lines) if re.match(r"\s*(Table|Figure|Fig\.) ?[A-G]?\.?\d+[.:]", line)]
    (start,) = [n for n in captions if re.match(rf"Table {re.escape(table)}[.:]", lines[n])]
    end = min([n for n in captions if n > start], default=len(lines))
    text = "\n".join(lines[start + 1 : end])
    return re.sub(r"\\(rightarrow|to)\b", "→", text.replace(r"\pm", "±").replace(r"\times", "×")).split("\n")


def pattern_of(table):
    return {"B.2": ALONE, "B.5": ALONE, "G1": COUNT}.get(table, PAIR)


def joined(found):
    return "±".join(filter(None, found))


def numbers(line, table):
    return [joined(match.groups()) for match in re.finditer(pattern_of(table), line)]


def excepted(paper, table):
    return Counter(" ".join(EXCEPTED.get((paper, table), {}).values()).split())


def shipped(paper, table):
    """A table's numbers as its file has them, by what they are of."""
    text = (CHECKOUT / "results" / "published" / f"{paper}.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["table"] == table]
    told = [tuple(row[name] for name in ("task", "model", "protocol", "subset", "metric")) for row in rows]
    return {key: joined((row["mean"], row["sd"] or row["half_width"])) for key, row in zip(told, rows, strict=True)}


@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_a_tables_numbers_are_those_of_the_text_no_more_and_no_fewer(paper, table):
    for printing in printings(paper, table):
        found = Counter(number for line in span(printing, table) for number in numbers(line, table))

        assert found - excepted(paper, table) == Counter(shipped(paper, table).values()), printing


@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_a_number_stands_in_the_row_and_column_of_the_text_that_it_is_of(paper, table):
    layout, held = LAYOUTS[paper][table], shipped(paper, table)
    pattern = re.compile(f"{pattern_of(table)}|{NOT_APPLICABLE}")
    read, heading = [], ""
    for line in span(printings(paper, table)[0], table):
        if net := re.match(r"ResNet-\d+ \(\d×\)$|ResNet-101 \(3×\)", line):
            heading = net[0] if net[0] == line else ""
        found = [None if match[0] == "-" else joined(match.groups()) for match in pattern.finditer(line)]
        if not found or set(found) <= set(excepted(paper, table)):
            continue
        title = re.sub(r"\[\d+\]|\(ours\)", " ", pattern.sub(" ", line).replace("|", " "))
        read.append((" ".join([heading, *title.split()]).strip(), found))

    assert [title for title, _ in read] == [title for title, _ in layout]
    assert [found for _, found in read] == [[held.get(key) for key in keys] for _, keys in layout]
    assert set(held) <= {key for _, keys in layout for key in keys}
    absent = sum(key not in held for _, keys in layout for key in keys)
    assert absent == {("taher2021", "2"): 4, ("taher2021", "8"): 4}.get((paper, table), 0), (
        "where transfer does not apply"
    )


def test_every_table_that_is_shipped_is_laid_out_here():
    for paper, layout in LAYOUTS.items():
        text = (CHECKOUT / "results" / "published" / f"{paper}.csv").read_text(encoding="utf-8")
        assert {row["table"] for row in csv.DictReader(io.StringIO(text))} == set(layout)
