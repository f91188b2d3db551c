"""`benchmark doctor`: what works is told, what would harm a run is a FAIL with advice."""

import json

import pytest

from benchmark.api import doctor as examining
from benchmark.api.doctor import doctor


@pytest.fixture
def findings(cli):
    def examine(*arguments):
        ran = cli("doctor", "--json", *arguments)
        return ran.code, {finding["name"]: finding for finding in json.loads(ran.out)}

    return examine


def test_a_machine_that_is_well_passes_and_nothing_is_left_behind(findings, workspace):
    code, found = findings()

    assert code == 0
    assert found["results"]["verdict"] == found["caches"]["verdict"] == "PASS"
    assert "locks work" in found["results"]["found"]
    assert found["versions"]["found"].startswith("Python 3.")
    assert "TXC" in found["data"]["found"]
    assert list(workspace.results.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails(findings, tmp_path):
    (tmp_path / "file").write_text("")

    code, found = findings("--results", str(tmp_path / "file"))

    assert code == 1
    assert found["results"]["verdict"] == "FAIL"
    assert found["caches"]["verdict"] == "PASS"


def test_a_file_system_without_exclusive_creation_fails(workspace, monkeypatch):
    """Both processes may believe that they created a file, as on a bucket that is mounted as a folder."""
    monkeypatch.setattr(examining, "_RACE", examining._RACE.replace("os.O_EXCL | ", ""))

    found = {finding.name: finding for finding in doctor(results=workspace.results, project=workspace.project)}

    assert found["results"].verdict == "FAIL"
    assert f"{2 * examining.NUM_RACES} of {examining.NUM_RACES} files" in found["results"].found
