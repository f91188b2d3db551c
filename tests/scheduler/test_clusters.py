"""`--on`: what is rendered for each kind of cluster, and what is refused; nothing is submitted here."""

import subprocess
from pathlib import Path

import pytest
import yaml

from benchmark.errors import BenchmarkError
from benchmark.scheduler.clusters.interface import Job
from benchmark.scheduler.clusters.registry import CLUSTERS, read_cluster

FILES = {
    "slurm": "workers: 3\nrounds: 4\nsetup: [module load cuda]\nsbatch: {partition: gpu, gres: 'gpu:1', exclusive: true}",
    "ray": "workers: 2\ngpus: 0.5\nsetup: [source /venv/bin/activate]",
    "kubernetes": "workers: 2\nimage: registry/benchmark:1\nvolume: shared\nmount: /shared\nenvironment: {HF_HOME: /shared/hf}",
    "skypilot": "workers: 3\nresources: {accelerators: 'A100:1'}\nvolumes: {/shared: a-volume}\nsetup: [pip install x]",
}
# keys of a SkyPilot task: docs.skypilot.co/en/latest/reference/yaml-spec.html
SKYPILOT_KEYS = {
    "name",
    "workdir",
    "num_nodes",
    "resources",
    "envs",
    "secrets",
    "volumes",
    "file_mounts",
    "setup",
    "run",
    "config",
}


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "a folder" / "jobs"
    command = ["python", "-m", "benchmark", "run", "--models", "a b,c", "--no-wait"]
    return Job(name="grid-1", command=command, folder=folder, environment={"BENCHMARK_HOME": "/home/it's"})


def render(kind, job, tmp_path, text=None):
    path = tmp_path / f"{kind}.yaml"
    path.write_text(f"kind: {kind}\n{FILES[kind] if text is None else text}\n")
    cluster, settings = read_cluster(str(path))
    return cluster.render(settings, job)


@pytest.mark.parametrize("kind", ["slurm", "ray"])
def test_a_script_is_one_that_bash_reads_and_that_becomes_the_command(kind, job, tmp_path):
    """It is executed with a `python` that prints its arguments and its environment."""
    lines = render(kind, job, tmp_path).replace("module load cuda", "true").replace("source /venv/bin/activate", "true")
    (tmp_path / "python").write_text('#!/bin/bash\nprintf "%s|" "$@" "$BENCHMARK_HOME" "$BENCHMARK_LOG"\n')
    (tmp_path / "python").chmod(0o755)

    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    ran = subprocess.run(
        ["bash", "-u", "-c", lines.replace("$BENCHMARK_LOG", "")],
        env=environment | {"BENCHMARK_LOG": "l"},
        capture_output=True,
        text=True,
        check=True,
    )

    log = f"{job.folder}/logs/7_2.txt" if kind == "slurm" else "l"
    assert ran.stdout.split("|")[:-1] == [*job.command[1:], "/home/it's", log]


def test_slurm_gets_an_array_of_workers_in_rounds_and_the_users_options(job, tmp_path):
    directives = [line for line in render("slurm", job, tmp_path).splitlines() if line.startswith("#SBATCH")]

    assert directives == [
        "#SBATCH --job-name=benchmark-grid-1",
        "#SBATCH --requeue",
        "#SBATCH --partition=gpu",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --exclusive",
        "#SBATCH --array=0-11%3",
        "#SBATCH --open-mode=append",
        f"#SBATCH --output='{job.folder}/logs/%A_%a.txt'",
    ]


def test_a_kubernetes_manifest_is_a_job_of_the_official_client(job, tmp_path):
    """Kubernetes' own models take it, and none of its keys is unknown to them."""
    client = pytest.importorskip("kubernetes.client", minversion=None)
    manifest = yaml.safe_load(render("kubernetes", job, tmp_path))

    read = client.V1Job.model_validate(manifest)

    assert read.model_dump(by_alias=True, exclude_none=True, exclude_unset=True) == manifest
    assert read.spec.completion_mode == "Indexed"
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1].endswith(f"exec {job.shell_command}")
    assert {"name": "HF_HOME", "value": "/shared/hf"} in container["env"]


def test_a_skypilot_task_has_only_keys_of_a_task_and_is_launched_once_for_each_worker(job, tmp_path):
    cluster, settings = read_cluster(str(write(tmp_path, "kind: skypilot\n" + FILES["skypilot"])))
    task = yaml.safe_load(cluster.render(settings, job))

    assert set(task) <= SKYPILOT_KEYS
    assert task["resources"] == {"use_spot": True, "accelerators": "A100:1"}
    assert task["volumes"] == {"/shared": "a-volume"}
    assert task["run"].splitlines() == ["pip install x", f"exec {job.shell_command}"]
    assert cluster.how(settings, Path("task.yaml")).startswith("for n in $(seq 3); do sky jobs launch")


def write(tmp_path, text):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kind: slrum", "did you mean slurm?"),
        ("workers: 2", "kind ''"),
        ("- kind", "wanted keys and values"),
        ("kind: slurm\nworker: 2", "unknown key 'worker': did you mean workers"),
        ("kind: slurm\nworkers: 0", "workers: Input should be greater than or equal to 1"),
        ("kind: slurm\nsbatch: {array: 0-3}", "wanted a long option of sbatch, other than array"),
        ("kind: slurm\nsbatch: {'p x': 1}", "wanted a long option of sbatch"),
        ('kind: slurm\nsbatch: {partition: "a\\n#SBATCH --wrap=rm"}', "wanted one line"),
        ('kind: slurm\nsetup: ["true\\nrm"]', "wanted one line"),
        ("kind: ray\nenvironment: {'A=1;rm': x}", "wanted letters, digits and _"),
        ("kind: kubernetes\nimage: x", "key 'volume' is missing"),
    ],
)
def test_a_wrong_cluster_file_is_one_line(tmp_path, text, reason):
    with pytest.raises(BenchmarkError, match=reason.replace("?", r"\?")) as raised:
        read_cluster(str(write(tmp_path, text)))

    assert "\n" not in str(raised.value)


def test_a_kind_alone_stands_for_its_defaults_and_a_missing_file_is_named():
    assert read_cluster("ray")[1].workers == 1
    with pytest.raises(BenchmarkError, match=r"no\.yaml: there is no such file"):
        read_cluster("no.yaml")
    assert sorted(CLUSTERS) == sorted(FILES)


def test_a_dry_run_prints_the_script_and_starts_nothing(cli, workspace, tmp_path):
    file = write(tmp_path, "kind: slurm\nworkers: 2\nprocesses: 1")
    grid = ["--models", "scratch:test_efficientnet", "--tasks", "TXC", "--seeds", "2", "--set", "image_size=32"]

    ran = cli("run", *grid, "--on", str(file), "--dry-run")

    assert ran.code == 0, ran.err
    assert "#SBATCH --array=0-1%2" in ran.out
    assert "--set image_size=32 --device auto --workers 1 --offline --no-wait" in ran.out
    assert f"export BENCHMARK_RESULTS={workspace.results}" in ran.out
    assert not workspace.results.exists()
    assert "benchmark plan" in cli("run", *grid, "--dry-run").err


def test_without_sbatch_the_submission_is_refused_in_one_line(cli, tmp_path, monkeypatch, workspace):
    """The pixel cache is built, and the script written, before."""
    monkeypatch.setenv("PATH", "/nowhere")
    file = write(tmp_path, "kind: slurm")
    grid = ["--models", "scratch:test_efficientnet", "--tasks", "TXC", "--seeds", "1", "--set", "image_size=32"]

    ran = cli("run", *grid, "--on", str(file))

    assert ran.code == 2
    assert "sbatch is not here" in ran.err
    assert list(workspace.pixels.iterdir())
    assert [path.suffix for path in (workspace.results / "jobs").iterdir() if path.is_file()] == [".sh"]
