"""The interactive questions: asked from the schema, in the order and words of the legacy dialogue.

Only `--interactive` asks. The answers are a layer of their own; clipping and rounding are done
here and said at once (decision 34).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from . import schema
from .guide import guidance
from .resolve import Layer, resolve
from .schema import Machine, Options, OptionSpec, Value, specs

Read = Callable[[str], str]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Answers:
    """What the user said; `restart` is XSeg's "Restart training?"."""

    layer: Layer
    restart: bool = False


def ask_options(
    cls: type[Options],
    layers: Sequence[Layer],
    *,
    read: Read = input,
    say: Say = print,
    machine: Machine | None = None,
) -> Answers:
    """Ask all questions that may be asked now; an empty answer takes what is proposed.

    Parameters
    ----------
    cls : type
        Class of options.
    layers : sequence of Layer
        What is known so far, lowest precedence first; a "stored" layer makes it a resume, where
        architecture is not asked.
    read : callable
        Takes the prompt, returns the answer. The end of input (`EOFError`) counts as empty.
    say : callable
        Shows one line (help, clipping).
    machine : Machine, optional
        Devices in use, for the proposed batch size.

    References: options.md 1, 2.
    """
    dialogue = _Dialogue(cls, layers, read, say, machine or Machine())
    return dialogue.run()


class _Dialogue:
    """One pass over the questions."""

    def __init__(
        self, cls: type[Options], layers: Sequence[Layer], read: Read, say: Say, machine: Machine
    ) -> None:
        self.cls, self.read, self.say, self.machine = cls, read, say, machine
        self.table = specs(cls)
        self.resume = any(layer.kind == "stored" for layer in layers)
        # a batch is rounded to the devices after the answer, not in the proposal
        found = resolve(cls, layers, machine=replace(machine, devices=1), allow_unknown=True)
        self.proposed = {key: getattr(found.options, key) for key in self.table}
        self.known = {key for layer in layers for key in layer.values}
        self.answers: dict[str, Value] = {}

    def run(self) -> Answers:
        restart = False
        if self.resume and self.cls.RESTARTABLE:
            restart = self._yes_no(
                "Restart training?", False, "The training begins at iteration 0."
            )
        new = not self.resume or restart
        for key in self.cls.QUESTIONS:
            spec = self.table[key]
            if spec.ask == "new" and not new:
                continue
            if spec.only_if and not spec.only_if(self._current()):
                continue
            self.answers[key] = self._ask(spec)
            if key == "archi":
                self._refit_resolution(new)
        return Answers(Layer(self.answers, "your answer", kind="answers"), restart)

    def _current(self) -> dict[str, Value]:
        return {**self.proposed, **self.answers}

    def _proposal(self, spec: OptionSpec) -> Value:
        if spec.key not in self.known:
            value = self.cls.derived(spec.key, self._current(), self.proposed, self.machine)
            if value is not None:
                return schema.clip(spec, value)
        value = self.proposed[spec.key]
        assert value is None or isinstance(value, (bool, int, float, str, tuple))
        return value

    def _ask(self, spec: OptionSpec) -> Value:
        proposal = self._proposal(spec)
        if spec.kind is bool:
            return self._yes_no(spec.question, bool(proposal), spec.help)
        prompt = f"{spec.question} ( {spec.allowed()} ? help ) [{schema.show(proposal)}]: "
        while True:
            text = self._read(prompt)
            if text == "?":
                self._help(spec)
                continue
            if not text:
                return proposal
            try:
                value = schema.parse(spec, text)
            except ValueError as error:
                self.say(f'"{text}" {error}')
                continue
            wrong = self._text_error(spec, value)
            if wrong is None:
                return self._fit(spec, value)
            self.say(wrong)

    def _text_error(self, spec: OptionSpec, value: Value) -> str | None:
        """A rule of the class may refuse a text (the architecture); it is then asked again."""
        if spec.kind is not str:
            return None
        for change in self.cls.reconcile({**self._current(), spec.key: value}, new=True):
            if change.error and change.key == spec.key:
                return f'"{value}" {change.reason}'
        return None

    def _fit(self, spec: OptionSpec, value: Value) -> Value:
        fitted = schema.rounded(spec, schema.clip(spec, value))
        if fitted != value:
            self.say(f"{spec.key} becomes {schema.show(fitted)} ({spec.allowed()})")
        return fitted

    def _refit_resolution(self, new: bool) -> None:
        for change in self.cls.reconcile(self._current(), new=new):
            if change.key == "resolution":
                down = schema.whole(self._current()["resolution"]) // 32 * 32
                self.answers["resolution"] = down
                self.say(f"resolution becomes {down}: a multiple of 32 for {self.answers['archi']}")

    def _yes_no(self, question: str, proposal: bool, help: str) -> bool:
        while True:
            text = self._read(f"{question} ( y/n ? help ) [{'y' if proposal else 'n'}]: ")
            if not text:
                return proposal
            if text == "?":
                self.say(help)
                continue
            try:
                return schema.parse_bool(text)
            except ValueError as error:
                self.say(f'"{text}" {error}')

    def _help(self, spec: OptionSpec) -> None:
        self.say(spec.help)
        if spec.details:
            self.say(spec.details)
        for label, text in guidance(spec.key):
            self.say(f"{label}: {text}")

    def _read(self, prompt: str) -> str:
        try:
            return self.read(prompt).strip()
        except EOFError:
            return ""
