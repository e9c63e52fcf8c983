"""The `champion` command: tools around the pipeline. Each command is imported when it is called."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from types import TracebackType
from typing import Any

import click

from champion_luigi.base import words
from champion_luigi.commands import overview

# The module of each command; the click command in it is named `command`.
_MODULES = {
    name: name
    for name in "actions adjust clean ddl demo fill redo refresh schedule sessions status track verify".split()
}
_MODULES |= {name: f"{name}.command" for name in ("doctor", "prices", "report", "sql")}
# Commands that run whatever the layout version of DATA_DIR; `doctor` reports the version itself.
_WITHOUT_DATA = ("ddl", "demo", "doctor", "schedule", "sessions")
# Commands that leave out, the next time, what is complete.
_RESUMED = ("adjust", "demo", "fill", "redo", "refresh")
_STOPPED = 1  # click's own code for it


class _Commands(click.Group):
    """Imports each command when it is called, and prints the package's errors as sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _MODULES:
            return None
        command: click.Command = importlib.import_module(f"champion_luigi.commands.{_MODULES[cmd_name]}").command
        # \b: click would join the lines.
        command.epilog = "\n".join(["\b", "Examples:", *(f"  {each}" for each in overview.ENTRIES[cmd_name].examples)])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The commands by what people want of them."""
        for title, entries in overview.GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.line) for name, entry in entries.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _MODULES:
            found = words.nearest(args[0], self.list_commands(ctx))
            hint = f"Did you mean {' or '.join(found[:2])}?" if found else "champion --help lists them."
            ctx.fail(f"There is no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        from champion_luigi.base import durable, signals
        from champion_luigi.commands import output

        sys.excepthook = _show_crash
        name, *arguments = ctx.meta[__name__]
        try:
            with output.ending(name), signals.heeded(), durable.explained():
                if name not in _WITHOUT_DATA and not {"-h", "--help"} & set(arguments):
                    from champion_luigi.config import settings
                    from champion_luigi.storage import version

                    version.require(settings.data_dir())
                return super().invoke(ctx)
        except click.NoSuchOption as error:
            # Click compares the spelling alone: to it, --from is near --of.
            options = error.ctx.command.params if error.ctx else []
            found = words.nearest(error.option_name, (name for each in options for name in each.opts))
            hint = f"Did you mean {' or '.join(found[:2])}?" if found else "--help lists them."
            raise click.UsageError(f"There is no option {error.option_name}. {hint}", error.ctx) from None
        except KeyboardInterrupt:
            rest = ": nothing is half-written, and the same command continues" if name in _RESUMED else ""
            # A terminal has shown ^C before it.
            output.say("\n" * sys.stderr.isatty() + f"champion {name}: stopped{rest}")
            sys.exit(_STOPPED)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            output.say(f"champion {name}: the output could not be written: {error.strerror}")
            # Otherwise Python would try to write the rest again when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(output.UNHANDLED)


def _show_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an unexpected error, without secrets, because errors can quote settings and answers."""
    from champion_luigi.config import settings

    sys.stderr.write(settings.without_secrets("".join(traceback.format_exception(kind, error, trace))))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="champion_luigi", prog_name="champion")
def main() -> None:
    """NSE end-of-day prices, every trading day: tools around the Luigi pipeline.

    Each command has its own --help, with examples.
    """
