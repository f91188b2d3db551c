"""Citations as BibTeX. Torch-free.

A citation is prose of one form, with a DOI or an arXiv number where the authors state one:

    He K, Zhang X, et al. Title. Venue 2016;volume(number):pages, doi 10.…. arXiv:1234.56789

Its fields are taken out of it, and none is added. Prose of another form (a web page, several works) becomes the note of a
`@misc`.
"""

import re

CONFERENCES = {"AAAI", "CVPR", "DART", "ECCV", "ICCV", "ICLR", "ICML", "MICCAI", "NeurIPS"}
AUTHOR = re.compile(r"(?P<family>\w[\w '-]*) (?P<initials>[A-ZÀ-Ý]{1,4})")
WORK = re.compile(r"(?P<authors>.+?)\. (?P<title>.+?)(?:\.|(?<=\?)) (?P<published>.+)")
VENUE = re.compile(
    r"(?P<venue>\D+?) (?P<year>\d{4})(?:;(?P<volume>\d+)(?:\((?P<number>\d+)\))?(?::(?P<pages>[\d-]+))?)?"
)
ARXIV = re.compile(r"arXiv:(?P<id>\d{4}\.\d{4,5})(?: \((?P<year>\d{4})\))?")
DOI = re.compile(r"(?P<of_data>; )?doi (?P<doi>10\.\S+)")  # behind a semicolon: of the data, not of the paper
SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


def bibtex_of(key: str, citation: str) -> str:
    """Returns a BibTeX entry of that key for a citation in prose."""
    kind, fields = _fields(citation) or ("misc", {"note": citation})
    # a DOI is taken letter by letter by those that make links of it
    values = {name: value if name == "doi" else value.translate(SPECIAL) for name, value in fields.items()}
    lines = [f"  {name} = {{{value}}}" for name, value in values.items()]
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def _fields(citation: str) -> tuple[str, dict[str, str]] | None:
    """Returns the kind of the entry and its fields; None for prose of another form."""
    work = WORK.fullmatch(citation)
    authors = _authors(work["authors"]) if work else None
    if work is None or authors is None:
        return None
    published = work["published"]
    venue, arxiv, doi = VENUE.match(published), ARXIV.search(published), DOI.search(published)
    year = venue["year"] if venue else arxiv["year"] if arxiv else None
    if year is None:
        return None
    fields = {"author": authors, "title": work["title"], "year": year}
    kind = "misc"
    if venue:
        conference = venue["venue"] in CONFERENCES
        kind = "inproceedings" if conference else "article"
        fields["booktitle" if conference else "journal"] = venue["venue"]
        numbers = {name: venue[name] for name in ("volume", "number", "pages") if venue[name]}
        fields |= {name: value.replace("-", "--") for name, value in numbers.items()}
    if doi:
        fields |= {"note": f"Data: doi {doi['doi']}"} if doi["of_data"] else {"doi": doi["doi"]}
    if arxiv:
        fields |= {"eprint": arxiv["id"], "archiveprefix": "arXiv"}
    return kind, fields


def _authors(names: str) -> str | None:
    """Returns authors as BibTeX has them, `He, K. and Zhang, X.`; None where a name is not a family name with initials."""
    authors = []
    for name in names.split(", "):
        if name == "et al":
            authors.append("others")
        elif author := AUTHOR.fullmatch(name):
            authors.append(f"{author['family']}, {' '.join(f'{initial}.' for initial in author['initials'])}")
        else:
            return None
    return " and ".join(authors)
