"""`duolect combine`: trained models and a search as one system folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from duolect.cli.arguments import NameOption, PathOption, parse, require_writable, say
from duolect.cli.overrides import override_search, search_options
from duolect.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Combine:
    """Join trained models and a search into one system folder.

    Each model is taken from a run folder or a system folder; weights are linked rather than copied where the file
    system allows it. Untuned scales are the method's; `duolect tune` finds better ones. Any setting of the search:
    --search.FIELD VALUE.
    """

    acoustic: PathOption = None
    """Where the acoustic model comes from."""
    language: PathOption = None
    """Where the language model comes from."""
    llm: NameOption = None
    """Instead: an LLM of Hugging Face as it is, by folder or hub name, in its own units."""
    speech_llm: PathOption = None
    """Where the speech LLM comes from."""
    method: NameOption = None
    """The search: ctc-greedy, ctc-beam, attention, attention+ctc, ctc+attention-rescoring, ctc+lm-rescoring,
    ctc+lm-delayed, ctc+lm-labelwise, speech-llm, speech-llm-draft, ctc+speech-llm-rescoring, speech-llm+ctc; by
    default the first of ctc+lm-rescoring, attention+ctc, attention, speech-llm and ctc-greedy that the models can
    run."""
    prior_text: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """Text like the training text (one sentence a line, or a manifest), in which labels are counted for two more kinds
    of prior: --search.prior-kind counts (labels of CTC) and tokens (those of the language model)."""
    prior_normaliser: Literal["plain", "none"] = "plain"
    """What is done to that text: plain lower-cases and drops punctuation, as recipes do; none leaves it as it is."""
    out: Path
    """The system folder to write."""
    overwrite: bool = False
    """Replace a system at OUT that has other models or tuned scales, which are lost."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Combine`."""
    rest, settings = search_options(arguments)
    asked = parse("combine", Combine, rest)
    if asked.acoustic is asked.language is asked.speech_llm is asked.llm is None:
        raise ConfigError("no model is given; name at least one of --acoustic, --language, --llm and --speech-llm.")
    if asked.language is not None and asked.llm is not None:
        raise ConfigError("--language and --llm both name the language model; a system has one.")
    require_writable(asked.out, folder=True, replaced=True)
    from duolect.systems import add_counted_priors, combine, make_system, pretrained_language

    language = asked.language if asked.llm is None else pretrained_language(asked.llm)
    system = combine(acoustic=asked.acoustic, language=language, speech_llm=asked.speech_llm, search=asked.method)
    if asked.prior_text:
        parts, left_out = add_counted_priors(system.parts, asked.prior_text, normaliser=asked.prior_normaliser)
        system = make_system(parts, asked.method)
        for name, count in left_out.items():
            if count:
                many = "sentences" if count > 1 else "sentence"
                say(f"{count} {many} cannot be spelled in the units of {name}; its prior does without.")
    system = override_search(system, settings)
    system.save(asked.out, overwrite=asked.overwrite)
    able = f"method {system.method}; able to run {', '.join(system.methods())}" if system.methods() else "no search"
    print(f"{asked.out}: {', '.join(system.parts)}; {able}")
    return 0
