"""What an attention decoder begins with: BOS, or a tag that says what is to be written (a target language).

B utterances · R rows · N labels · D width · V labels.

The tag takes BOS's place in the decoder's input and is no label: it is not predicted, so it has no part in the loss,
and it cannot be written in recognition, where it is given. Lam et al. (arXiv 2501.02370) put it first among the target
labels, leave it out of the loss and force it in recognition, which is the same but for the BOS before it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from duolect.errors import ModelError
from duolect.models.encoded import Encoded


class Starts(nn.Module):
    """The first input of a decoder over V labels: BOS's own embedding, or one learnt for each of `tags` tags.

    Inside a decoder the input of tag k goes by the id V + k, beyond all labels. Without tags there are no parameters,
    and `embed` is the label table's own look-up.
    """

    def __init__(self, vocabulary: int, width: int, bos_id: int, tags: int = 0) -> None:
        super().__init__()
        self.vocabulary, self.bos_id = vocabulary, bos_id
        self.tags: nn.Embedding | None = None
        if tags:
            self.tags = nn.Embedding(tags, width)
            nn.init.normal_(self.tags.weight, std=width**-0.5)

    def ids(self, encoded: Encoded) -> Tensor:
        """The first input ids_B of each utterance. Raises ModelError where the model has tags and they are not given,
        or are given to a model that has none."""
        if self.tags is None:
            if encoded.tags_B is not None:
                raise ModelError("The utterances have tags, but the decoder was built without any.")
            return torch.full_like(encoded.lengths_B, self.bos_id, dtype=torch.long)
        if encoded.tags_B is None:
            raise ModelError(
                f"The decoder begins with one of {self.tags.num_embeddings} tags, but the utterances have none."
            )
        return encoded.tags_B + self.vocabulary

    def embed(self, table: nn.Embedding, ids_RN: Tensor) -> Tensor:
        """The embeddings (R, N, D) of labels, from their `table`, and of first inputs as `ids` gives them."""
        if self.tags is None:
            return table(ids_RN)
        is_label_RN = ids_RN < self.vocabulary
        labels = table(ids_RN.clamp(max=self.vocabulary - 1))
        tags = self.tags((ids_RN - self.vocabulary).clamp(min=0))
        return torch.where(is_label_RN[..., None], labels, tags)
