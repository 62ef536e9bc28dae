"""Joint CTC/attention search of ESPnet and of Duolect over one decoder. Run by bench/joint.py, in ESPnet's environment.

Labels: 0 is ESPnet's blank, V − 1 its sos/eos; Duolect is given the same numbers, its blank behind them (V).
Legend: B utterances · T frames · N labels · D width · V labels · W = V + 1.
"""

import logging
import math

from worker import seconds, serve  # first: it moves what is printed to stderr  # isort: skip
import torch
from torch import Tensor

logging.disable(logging.CRITICAL)
from cached_decoder import Audio, CachedDecoder, CachedScorer  # noqa: E402
from espnet.nets.batch_beam_search import BatchBeamSearch  # noqa: E402
from espnet.nets.scorers.ctc import CTCPrefixScorer as EspnetCTC  # noqa: E402
from espnet2.asr.decoder.transformer_decoder import TransformerDecoder  # noqa: E402

from duolect.search import (  # noqa: E402
    AutoregressiveScorer,
    CTCPrefixScorer,
    Hypothesis,
    Weighted,
    ctc_full_sum,
    label_synchronous,
)

COPIED = 0.7  # how much of what the cross-attention found reaches the output


class Posteriors:
    """What ESPnet's CTC module is asked for; the encoder states it is asked with tell the utterance."""

    def __init__(self) -> None:
        self.log_probs_TV = torch.zeros(0)

    def log_softmax(self, x: Tensor) -> Tensor:
        """Those of the present utterance."""
        return self.log_probs_TV[None]


def listening(decoder: TransformerDecoder, labels: list, places: list, lengths_B: Tensor, eos: int) -> Tensor:
    """Encoder states (B, T, D) from which the decoder, elsewhere random, tells the next label (changes its weights).

    A frame of the n-th label holds the code of position n in its first dimensions and the label's output vector in the
    others, the last frame those of EOS; the first layer's cross-attention looks for the code of its own position and
    copies the vector that stands there.
    """
    attention = decoder.decoders[0].src_attn
    width, coded = decoder.output_layer.in_features, attention.d_k
    code_Nc = decoder.embed[1].pe[0, :, :coded]  # the dimensions in which neighbouring positions differ most
    code_Nc = torch.nn.functional.layer_norm(code_Nc, (coded,))  # as a query is, so that its own code is the nearest
    vector_VD = torch.randn(decoder.output_layer.weight.shape)
    vector_VD[:, :coded] = 0.0
    vector_VD = torch.nn.functional.normalize(vector_VD)
    decoder.output_layer.weight.copy_(vector_VD)
    decoder.embed[0].weight.mul_(0.02)
    decoder.decoders[0].self_attn.linear_out.weight.mul_(0.1)
    find = 3 * torch.eye(coded, width).repeat(attention.h, 1)  # by every head
    copy = torch.diag((torch.arange(width) >= coded).float())
    for linear, weight in (
        (attention.linear_q, find),
        (attention.linear_k, find),
        (attention.linear_v, copy),
        (attention.linear_out, COPIED * copy),
    ):
        linear.weight.copy_(weight)
        linear.bias.zero_()
    states_BTD = 0.1 * torch.randn(len(labels), int(lengths_B.max()), width)
    for b, length in enumerate(lengths_B.tolist()):
        for n, (label, frame) in enumerate(zip([*labels[b], eos], [*places[b], length - 1], strict=True)):
            states_BTD[b, frame] = width**0.5 * vector_VD[label]
            states_BTD[b, frame, :coded] = code_Nc[n]
    return states_BTD


class Joint:
    """The model, the data and the searches of one benchmark."""

    def prepare(self, path: str, threads: int, width: int, layers: int, heads: int, inner: int, ctc: float) -> dict:
        """The decoder; posteriors, labels and their frames from a file."""
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        data = torch.load(path, weights_only=True)
        self.log_probs_BTW, self.lengths_B = data["log_probs_BTW"], data["lengths_B"]
        self.vocabulary = self.log_probs_BTW.shape[-1] - 1
        self.eos, self.ctc_weight = self.vocabulary - 1, ctc
        self.decoder = TransformerDecoder(
            self.vocabulary, width, attention_heads=heads, linear_units=inner, num_blocks=layers, dropout_rate=0.0,
            positional_dropout_rate=0.0, self_attention_dropout_rate=0.0, src_attention_dropout_rate=0.0,
        ).eval()  # fmt: skip
        with torch.no_grad():
            self.states_BTD = listening(self.decoder, data["labels"], data["places"], self.lengths_B, self.eos)
        self.cached = CachedDecoder(self.decoder, self.vocabulary, self.eos)
        self.posteriors = Posteriors()
        return {"parameters": sum(p.numel() for p in self.decoder.parameters())}

    def espnet(self, beam: int, cached: bool) -> dict:
        """BatchBeamSearch, one utterance after the other, as it is used; `cached`: with the cached decoder."""
        scorers = {
            "decoder": CachedScorer(self.cached) if cached else self.decoder,
            "ctc": EspnetCTC(self.posteriors, self.eos),
        }
        search = BatchBeamSearch(
            beam_size=beam,
            vocab_size=self.vocabulary,
            weights={"decoder": 1 - self.ctc_weight, "ctc": self.ctc_weight},
            scorers=scorers,
            sos=self.eos,
            eos=self.eos,
            pre_beam_score_key="full",
        )

        def run() -> list:
            found = []
            for b, length in enumerate(self.lengths_B.tolist()):
                self.posteriors.log_probs_TV = self.espnet_posteriors(b, length)
                found.append(search(self.states_BTD[b, :length])[0])
            return found

        self.cached.seconds = 0.0
        with torch.no_grad():
            self.cached.seconds = 0.0
        taken, found = seconds(run)
        return {
            "seconds": taken,
            "decoder_seconds": self.cached.seconds,
            "labels": [each.yseq[1:-1].tolist() for each in found],
            "scores": [float(each.score) for each in found],
        }

    def espnet_posteriors(self, b: int, length: int) -> Tensor:
        """(T, V) with the blank at 0 and EOS impossible."""
        log_probs_TW = self.log_probs_BTW[b, :length]
        return torch.cat([log_probs_TW[:, -1:], log_probs_TW[:, 1:-1]], 1)

    def scorers(self) -> list:
        """Duolect's scorers; what they make of the posteriors is part of the search."""
        return [
            Weighted("decoder", AutoregressiveScorer(self.cached), 1 - self.ctc_weight),
            Weighted("ctc", CTCPrefixScorer(self.log_probs_BTW, self.lengths_B, eos_id=self.eos), self.ctc_weight),
        ]

    def duolect(self, beam: int, candidates: int) -> dict:
        """All utterances together."""

        def run() -> list[list[Hypothesis]]:
            return label_synchronous(
                self.scorers(),
                Audio(self.states_BTD, self.lengths_B),
                beam=beam,
                nbest=1,
                limits_B=self.lengths_B,
                eos_id=self.eos,
                candidates=candidates,
                forbidden_ids=[0],
            )

        self.cached.seconds = 0.0
        taken, found = seconds(run)
        return {
            "seconds": taken,
            "decoder_seconds": self.cached.seconds,
            "labels": [list(each[0].labels) for each in found],
            "scores": [each[0].score for each in found],
        }

    def rescore(self, labels: list) -> dict:
        """What our terms say of given sequences: full CTC sum, and the decoder without a cache, by ESPnet's forward."""
        sums = ctc_full_sum(self.log_probs_BTW, self.lengths_B, [[tuple(each)] for each in labels])
        scores = []
        with torch.no_grad():
            for b, each in enumerate(labels):
                length = int(self.lengths_B[b])
                before_1N = torch.tensor([[self.eos, *each]])
                logits_1NV, _ = self.decoder(
                    self.states_BTD[b : b + 1, :length],
                    torch.tensor([length]),
                    before_1N,
                    torch.tensor([len(each) + 1]),
                )
                after_N1 = torch.tensor([*each, self.eos])[:, None]
                decoder = float(logits_1NV[0].log_softmax(-1).gather(1, after_N1).sum())
                scores.append((1 - self.ctc_weight) * decoder + self.ctc_weight * float(sums[b][0]))
        return {"scores": scores}

    def compare_ctc(self, labels: list) -> dict:
        """Both CTC prefix scorers along given sequences: the largest violation of 1e-4 + 1e-5·|score|, in units of it.

        ESPnet's cannot score EOS and labels of a finished history; both give log ψ(h·c) for every label c and for EOS.
        """
        worst, most, count = 0.0, 0.0, 0
        for b, each in enumerate(labels):
            length = int(self.lengths_B[b])
            self.posteriors.log_probs_TV = self.espnet_posteriors(b, length)
            theirs = EspnetCTC(self.posteriors, self.eos)
            theirs.batch_init_state(self.states_BTD[b, :length])
            ours = CTCPrefixScorer(self.log_probs_BTW[b : b + 1], self.lengths_B[b : b + 1], eos_id=self.eos)
            state, their_state, total = ours.start(None, 1), None, 0.0
            for n, label in enumerate(each):
                history_1N = torch.tensor([[self.eos, *each[:n]]])
                scores_1V, pending = ours.score(state)
                their_scores_1V, raw = theirs.batch_score_partial(history_1N, None, [their_state], None)
                keep = (scores_1V[0] > -1e6) & (their_scores_1V[0] > -1e6)
                keep[0] = False
                apart_V = (scores_1V[0] - their_scores_1V[0]).abs()[keep]
                allowed_V = 1e-4 + 1e-5 * (total + scores_1V[0][keep]).abs()
                worst = max(worst, float((apart_V / allowed_V).max()))
                most, count = max(most, float(apart_V.max())), count + len(apart_V)
                total += float(scores_1V[0, label])
                their_state = theirs.select_state(raw, 0, label)
                state = ours.advance(state, pending, torch.tensor([0]), torch.tensor([label]))
        assert math.isfinite(worst)
        return {"worst_in_tolerances": worst, "largest_difference": most, "scores": count}


joint = Joint()
serve(
    {
        "prepare": joint.prepare,
        "espnet": joint.espnet,
        "duolect": joint.duolect,
        "rescore": joint.rescore,
        "compare_ctc": joint.compare_ctc,
    }
)
