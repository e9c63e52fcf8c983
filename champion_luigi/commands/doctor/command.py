"""`champion doctor`: one line for each check, with the remedy if it is not OK."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from champion_luigi.commands import output

if TYPE_CHECKING:
    from champion_luigi.commands.doctor.findings import Finding

_INDENT = " " * 21
_COLORS = {"OK": "green", "WARNING": "yellow", "PROBLEM": "red"}


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of {check, status, found, todo}.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check the requirements of a run: installation, settings, disks, servers, clock.

    Each check reports what it found, and what to do if it is not OK. Changes nothing, and requests one file from the
    archive. Ends within 15 seconds, even if servers hang. Exits 0 when there is no PROBLEM, else 30.
    """
    from champion_luigi.commands.doctor import checks

    found = []
    for name, finding in checks.examine():
        found.append((name, finding))
        if not as_json:
            click.echo(_in_words(name, finding))
    if as_json:
        document = [{"check": name, "status": it.status, "found": it.found, "todo": it.todo} for name, it in found]
        click.echo(output.as_json(document))
    count = {status: sum(1 for _, finding in found if finding.status == status) for status in _COLORS}
    if not as_json:
        click.echo(f"{len(found)} checks: {count['OK']} OK, {count['WARNING']} WARNING, {count['PROBLEM']} PROBLEM")
    if count["PROBLEM"]:
        context.exit(output.FAILED)


def _in_words(name: str, finding: Finding) -> str:
    """The finding on one line, wrapped if it is too long, and the remedy below it."""
    texts = [finding.found, *([f"-> {finding.todo}"] if finding.todo else [])]
    lines = [line for text in texts for line in output.wrapped(text, width=output.WIDTH - len(_INDENT))]
    status = click.style(f"{finding.status:8}", fg=_COLORS[finding.status])
    return f"{status} {name:11} " + f"\n{_INDENT}".join(lines)
