"""Which prompt goes with which utterance. B utterances · G tags · K prompts · P prompt labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from duolect.data.stream import stable_seed
from duolect.errors import ModelError
from duolect.models.interfaces import Prompts
from duolect.text import SpelledPrompt, check_prompts


class PromptTable:
    """The prompts of a speech LLM, those of a tag side by side; without any there is the empty one.

    Raises ConfigError unless each of the `tags` has a prompt.
    """

    def __init__(self, prompts: Sequence[SpelledPrompt], tags: Sequence[str], bos_id: int) -> None:
        if not prompts and not tags:
            prompts = (SpelledPrompt(),)
        check_prompts(prompts, tags, "speech LLM")
        self.tags = tuple(tags)
        groups = [[prompt for prompt in prompts if prompt.tag == tag] for tag in (self.tags or (None,))]
        self.first = tuple(group[0].text for group in groups)
        """What is used where nothing is drawn: one prompt for each tag."""
        self._counts = [len(group) for group in groups]
        self._starts = [sum(self._counts[:place]) for place in range(len(groups))]
        ordered = [prompt for group in groups for prompt in group]
        self._before = [list(prompt.before) for prompt in ordered]
        self._after = [[*prompt.after, bos_id] for prompt in ordered]
        self.longest = max(map(len, ordered))
        """Labels of the longest prompt, both sides of the audio."""

    def choose(self, tags_B: Tensor | None, lengths_B: Tensor, seeds_B: Tensor | None = None) -> Prompts:
        """The prompt of each utterance: the first of its tag, or with `seeds_B` one that is drawn by its seed alone.

        `lengths_B` only says how many utterances there are, and on which device. Raises ModelError where only one of
        the model and the utterances has tags.
        """
        device = lengths_B.device
        if self.tags and tags_B is None:
            raise ModelError(
                f"The speech LLM writes {', '.join(map(repr, self.tags))}, but it was not said which of them is wanted."
            )
        if tags_B is not None and not self.tags:
            raise ModelError("The utterances have tags, but the speech LLM was built without any.")
        tags_B = torch.zeros_like(lengths_B) if tags_B is None else tags_B
        index_B = torch.tensor(self._starts, device=device)[tags_B]
        if seeds_B is not None and max(self._counts) > 1:
            drawn = [stable_seed("prompt", seed) for seed in seeds_B.tolist()]
            counts_G = torch.tensor(self._counts, device=device)
            index_B = index_B + torch.tensor(drawn, device=device) % counts_G[tags_B]
        return Prompts(*_rows(self._before, index_B), *_rows(self._after, index_B))


def _rows(labels: list[list[int]], index_B: Tensor) -> tuple[Tensor, Tensor]:
    """(labels_BP, lengths_B) of the lists `index_B`, right-padded."""
    width, device = max(map(len, labels)), index_B.device
    padded_KP = torch.tensor([row + [0] * (width - len(row)) for row in labels], dtype=torch.long, device=device)
    lengths_K = torch.tensor([len(row) for row in labels], device=device)
    return padded_KP[index_B], lengths_K[index_B]
