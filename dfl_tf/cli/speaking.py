"""What all commands have in common: whole help pages, all errors of a call at once, near misses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

import click
from click.shell_completion import CompletionItem

from dfl_tf.errors import DflTfError

_MOST_ERRORS = 50
_HYPHEN = "\ue000"


class WordChoice(click.ParamType):
    """One of a few words, in any letter case; a near miss is answered with the word meant.

    Parameters
    ----------
    choices : iterable of str
        As they are listed, and given to the command.
    """

    name = "choice"

    def __init__(self, choices: Iterable[str]) -> None:
        self.choices = tuple(choices)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """All of them, as click shows choices."""
        return f"[{'|'.join(self.choices)}]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The choice as it is listed; also of another spelling (``fp16``, ``yes``)."""
        from dfl_tf.options.schema import OTHER_SPELLINGS, did_you_mean

        text = str(value)
        by_lower = {choice.lower(): choice for choice in self.choices}
        for spelled in (text.lower(), OTHER_SPELLINGS.get(text.lower(), "")):
            if spelled in by_lower:
                return by_lower[spelled]
        near = did_you_mean(text, self.choices)
        return self.fail(f'"{text}" is not one of {", ".join(self.choices)}{near}', param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The choices that begin so."""
        begin = incomplete.lower()
        return [CompletionItem(each) for each in self.choices if each.lower().startswith(begin)]


class WholeWords(click.HelpFormatter):
    """Wraps help between words, and not at the hyphens in names."""

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """See `click.HelpFormatter`."""
        kept = [(first, second.replace("-", _HYPHEN)) for first, second in rows]
        super().write_dl(kept, col_max, col_spacing)

    def write_text(self, text: str) -> None:
        """See `click.HelpFormatter`."""
        super().write_text(text.replace("-", _HYPHEN))

    def getvalue(self) -> str:
        """See `click.HelpFormatter`."""
        return super().getvalue().replace(_HYPHEN, "-")


class CommandContext(click.Context):
    """Of a command of this program."""

    formatter_class = WholeWords


class Command(click.Command):
    """A command that tells all that is wrong with a call; switches take yes and no as well."""

    context_class = CommandContext

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`.

        Raises
        ------
        click.UsageError, DflTfError
            With every error of the call, a line each where there are several.
        """
        words = [*self._switched(args)]
        try:
            return super().parse_args(ctx, [*words])
        except (click.UsageError, DflTfError) as first:
            if isinstance(first, click.exceptions.NoArgsIsHelpError) or ctx.resilient_parsing:
                raise
            errors = _Errors(self, ctx, words)
            if len(errors.texts) < 2:
                raise
            raise errors.as_error() from None

    def _switched(self, args: list[str]) -> Iterator[str]:
        """The words of a call, with ``--flag=yes`` and ``--flag=no`` as the switches they mean."""
        switches = {
            name: each
            for each in self.params
            if isinstance(each, click.Option) and each.is_flag and each.is_bool_flag
            for name in each.opts
        }
        for position, word in enumerate(args):
            if word == "--":
                yield from args[position:]
                return
            name, equals, value = word.partition("=")
            if not (equals and name in switches):
                yield word
                continue
            yield from _switch(switches[name], name, value, word)

    def value_errors(self, given: Mapping[str, object]) -> list[str]:
        """What is wrong with values that click does not check; `given` is by parameter."""
        return []


def _switch(option: click.Option, name: str, value: str, word: str) -> list[str]:
    from dfl_tf.options.schema import parse_bool

    try:
        on = parse_bool(value)
    except ValueError:
        return [word]  # click reports it
    return [name] if on else [*option.secondary_opts[:1]]


class AllErrors(click.UsageError):
    """Everything that is wrong with a call; `only_missing` if nothing but arguments is missing."""

    only_missing = False


class _Errors:
    """All that is wrong with the words of a call."""

    def __init__(self, command: Command, context: click.Context, words: list[str]) -> None:
        self.context, self.missing, self.only_missing = context, False, True
        self.texts: list[str] = []
        given, extra, sure = self._words(command, words)
        for parameter in command.get_params(context):
            if parameter.is_eager or (isinstance(parameter, click.Argument) and not sure):
                continue
            try:
                with click.core.augment_usage_errors(context, param=parameter):
                    value, _ = parameter.consume_value(context, given)
                    parameter.process_value(context, value)
            except click.UsageError as error:
                absent = isinstance(error, click.MissingParameter)
                self.only_missing = self.only_missing and absent
                self.texts.append(error.format_message())
            except DflTfError as error:
                self.missing = self.missing or error.exit_code == 1
                self.texts.append(str(error))
        self.only_missing = self.only_missing and sure
        self.texts += command.value_errors(given)
        if extra and sure:
            self.texts.append(f"unexpected: {' '.join(extra)}")

    def _words(
        self, command: Command, words: list[str]
    ) -> tuple[Mapping[str, object], list[str], bool]:
        """Values by parameter, words that are left, and whether words are surely in their place."""
        rest, sure = [*words], True
        for _ in range(_MOST_ERRORS):
            try:
                given, extra, _ = command.make_parser(self.context).parse_args(args=[*rest])
                return given, extra, sure
            except click.UsageError as error:
                self.texts.append(error.format_message())
                name = getattr(error, "option_name", "")
                places = [i for i, word in enumerate(rest) if word.partition("=")[0] == name]
                if not places:
                    break
                sure = sure and "=" in rest[places[0]]  # else the next word may be its value
                del rest[places[0]]
        return {}, [], False

    def as_error(self) -> Exception:
        """One error; what is missing decides the exit code, as it does alone."""
        lines = "".join(f"\n  {text}" for text in self.texts)
        text = f"{len(self.texts)} errors in this call:{lines}"
        if self.missing:
            return DflTfError(text)
        error = AllErrors(text, self.context)
        error.only_missing = self.only_missing
        return error


class CommandGroup(click.Group):
    """A group whose help has whole sentences; a near miss of a command is answered."""

    command_class: type[click.Command] | None = Command
    context_class = CommandContext

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with an offer of the nearest name."""
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], names, n=1)
            see = f" See {ctx.command_path} --help."
            hint = f' Did you mean "{close[0]}"?' if close else see
            raise click.UsageError(f'No such command: "{args[0]}".{hint}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence of each command whole."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None
            rows.append((name, command.get_short_help_str(1000)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)
