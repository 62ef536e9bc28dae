"""May the audio before the labels see what comes after it? The causal mask, with an encoder and without."""

from __future__ import annotations

from duolect.studies.axes.attending import NAMES, SIZES, TABLE_3, attending
from duolect.studies.axes.rows import grouped
from duolect.studies.scales.base import Architecture, Scale
from duolect.studies.study import ALIKE, Claim, Entry, Study

PUBLISHED: dict[Architecture, tuple[str, str]] = {
    "prepend-transformer": ("12.4 % MuST-C, 24.7 % CoVoST 2", "13.2 % MuST-C, 24.6 % CoVoST 2"),
    "prepend-conformer": ("10.3 % MuST-C, 19.9 % CoVoST 2", "10.6 % MuST-C, 20.1 % CoVoST 2"),
    "decoder-only": ("13.9 % MuST-C, 28.7 % CoVoST 2", "13.2 % MuST-C, 26.1 % CoVoST 2"),
    "decoder-only-large": ("14.4 % MuST-C, 26.6 % CoVoST 2", "13.2 % MuST-C, 24.3 % CoVoST 2"),
}
"""With a causal prefix, and with one that is not."""


def mask(scale: Scale) -> Study:
    """Both masks for each architecture that puts audio before the labels."""

    def name(architecture: Architecture, causal: bool) -> str:
        return f"{NAMES[architecture]}, {'causal' if causal else 'bidirectional'}"

    def entry(architecture: Architecture, causal: bool) -> Entry:
        usual = causal == (not architecture.startswith("decoder-only"))
        published = f"{PUBLISHED[architecture][not causal]} ({TABLE_3})"
        named = name(architecture, causal)
        if usual:  # the same training as where nothing is said of it
            return attending(scale, architecture, named, published=published)
        return attending(scale, architecture, named, published=published, causal_prefix=causal)

    def claim(text: str, architecture: Architecture, causal: bool, margin: float | None = None) -> Claim:
        rates = f"{PUBLISHED[architecture][not causal]}, against {PUBLISHED[architecture][causal]}"
        better, worse = name(architecture, causal), name(architecture, not causal)
        return Claim(text=text, source=f"{TABLE_3}: {rates}", better=better, worse=worse, margin=margin)

    return Study(
        name="mask",
        title="The mask over the audio",
        question="Should audio that stands before the labels see what comes after it?",
        scale=scale.name,
        entries=grouped([entry(architecture, causal) for causal in (True, False)] for architecture in PUBLISHED),
        claims=[
            claim("Without an encoder a causal mask hurts.", "decoder-only", False),
            claim("So it does in a large decoder without an encoder.", "decoder-only-large", False),
            claim("Behind a Conformer it makes no difference.", "prepend-conformer", True, ALIKE),
            claim("Behind a Transformer a causal mask helps on MuST-C.", "prepend-transformer", True),
        ],
        notes=[SIZES],
    )
