"""Task, suite and zoo files that someone else wrote: whatever is wrong with them is one line, in no time."""

from dataclasses import replace

import pytest

from benchmark.errors import BenchmarkError
from benchmark.experiment.suite import read_suite
from benchmark.files import from_yaml
from benchmark.strict import MAX_NAME_LENGTH
from benchmark.tasks.registry import find_task, read_task
from benchmark.zoo.catalog import read_zoo

TASK = "name: lesions\nreader: table\nroot: x\nkind: binary\nlabels: [a]\nsplit: {method: random, test: 0.2}\n"
SUITE = "name: grid\ntitle: t\nmodels: all\ntasks: all\n"
ZOO = "entries:\n- {name: net, family: f, architecture: a, container: torch, naming: plain, licence: l, cite: c}\n"
READ = {
    "lesions.yaml": (TASK, read_task),
    "grid.yaml": (SUITE, lambda path: read_suite(str(path), path.parent)),
    "zoo.yaml": (ZOO, read_zoo),
}


def laughs(levels=9) -> str:
    """Lists of ten times the list before: a billion letters in a few lines."""
    lines = ['l0: &l0 "ha"'] + [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels + 1)]
    return "\n".join(lines) + f"\ntitle: *l{levels}\n"


def merged(levels=9) -> str:
    """Mappings that are joined of ten times the mapping before."""
    lines = ["m0: &m0 {a: b}"] + [
        f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, levels + 1)
    ]
    return "\n".join(lines) + "\n"


HOSTILE = {
    "aliases of aliases": (laughs(), "not YAML: more than 4,000,000 letters, aliases written out"),
    "joined mappings": (merged(), "not YAML: more than 4,000,000 letters, aliases written out"),
    "an alias of itself": ("title: &a [*a]\n", "not YAML: more than 4,000,000 letters, aliases written out"),
    "a number of 5,000 digits": (f"version: {'9' * 5000}\n", "not YAML: a number of 5,000 digits"),
    "a hexadecimal number": (f"version: 0x{'f' * 5000}\n", "not YAML: a number of 5,002 digits"),
    "a number of minutes": (f"version: 1{':1' * 100_000}\n", "not YAML: a number of 200,001 digits"),
    "lists in lists": (f"title: {'[' * 100_000}\n", "nested more than 60 deep"),
    "mappings in mappings": (f"title: {'{a: ' * 100_000}\n", "nested more than 60 deep"),
    "a date that is none": ("title: !!timestamp x\n", "not YAML: "),
    "an object of Python": ("title: !!python/object/apply:os.system [touch ran]\n", "not YAML: could not determine"),
    "a control character": ("title: \x1b[31mred\n", "not YAML: "),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_would_never_end_is_refused_in_one_line(tmp_path, name, hostile):
    (text, read), (line, said) = READ[name], HOSTILE[hostile]
    path = tmp_path / name
    path.write_text(text + line)

    with pytest.raises(BenchmarkError) as raised:
        read(path)

    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 500


@pytest.mark.parametrize("name", READ)
def test_a_file_in_another_encoding_is_told_to_be_saved_as_utf_8(tmp_path, name):
    text, read = READ[name]
    path = tmp_path / name
    path.write_bytes((text + "# Läsionen\n").encode("cp1252"))

    with pytest.raises(
        BenchmarkError, match=r": not UTF-8 \(byte \d+ is 0xe4\): wanted a text file in UTF-8, save it as that"
    ):
        read(path)


@pytest.mark.parametrize("value", [list(range(2000)), "x" * 5000, {"a" * 5000: 1}])
def test_a_value_of_the_wrong_kind_is_not_told_in_full(tmp_path, value):
    path = tmp_path / "lesions.yaml"
    path.write_text(TASK.replace("kind: binary", f"kind: {value!r}").replace("'", '"'))

    with pytest.raises(BenchmarkError) as raised:
        read_task(path)

    assert len(str(raised.value)) < len(str(path)) + 500


@pytest.mark.parametrize("unsafe", ["../../../escaped", "/etc/x", "a/b", "..", ".hidden", "a\\b", "-rf", "x" * 101, ""])
@pytest.mark.parametrize("name", READ)
def test_a_name_that_would_become_a_path_elsewhere_is_refused(tmp_path, name, unsafe):
    """Names of tasks, suites and entries become those of files and folders."""
    text, read = READ[name]
    path = tmp_path / name
    named = text.replace(f"name: {path.stem}", f"name: '{unsafe}'").replace("name: net", f"name: '{unsafe}'")
    path.write_text(named)
    assert named != text

    with pytest.raises(
        BenchmarkError, match=f"name: (wanted a name of|String should match)|at most {MAX_NAME_LENGTH} letters"
    ):
        read(path)


@pytest.mark.parametrize("kind", ["tables", "figures"])
def test_so_is_the_name_of_a_suites_table_or_figure(tmp_path, kind):
    path = tmp_path / "grid.yaml"
    path.write_text(SUITE + f"{kind}: {{'../../x': {{}}}}\n")

    with pytest.raises(BenchmarkError, match="wanted a name of letters"):
        read_suite(str(path), tmp_path)


def test_aliases_that_say_little_are_read_as_yaml_has_them(tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text("a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, x: 2}\nc: [*a, *a]\nd: 2020-01-01\ne: 1:30\n")

    read = from_yaml(path)

    assert read["b"] == {"x": 2, "y": [1, 2]}
    assert read["c"] == [{"x": 1, "y": [1, 2]}] * 2
    assert read["e"] == 90


@pytest.mark.parametrize("name", ["../outside", "..", "a/../../outside", "", "x" * 300])
def test_a_name_reads_no_file_outside_of_its_folder(workspace, tmp_path, name):
    for folder in ("tasks/suites", "home/tasks"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in (".", "tasks", "home"):
        (tmp_path / folder / "outside.yaml").write_text("{}")

    with pytest.raises(BenchmarkError, match="no suite "):
        read_suite(name, tmp_path / "tasks" / "suites")
    (tmp_path / "tasks" / "outside.yaml").unlink()
    with pytest.raises(BenchmarkError, match="no task "):
        find_task(name, replace(workspace, project=tmp_path, home=tmp_path / "home"))
