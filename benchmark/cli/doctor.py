"""`benchmark doctor`."""

from dataclasses import asdict

import typer

from benchmark.cli.options import AsJson, Data, Project, Results


def doctor(*, as_json: AsJson = False, results: Results = None, data: Data = None, project: Project = None) -> None:
    """Examine this machine and the workspace: GPUs, cores, memory, locks, space, caches, weights, data, versions."""
    from benchmark.api.doctor import doctor as examine
    from benchmark.cli.console import out, print_json, table_of

    findings = examine(results=results, data=data, project=project)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = table_of("", "what", "found", "what to do")
        for finding in findings:
            table.add_row(finding.verdict, finding.name, finding.found, finding.advice)
        out().print(table)
    if any(finding.verdict == "FAIL" for finding in findings):
        raise typer.Exit(1)
