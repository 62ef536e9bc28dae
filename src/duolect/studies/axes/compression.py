"""CTC compression: neighbouring frames of which CTC says the same become one, between the layers of the Conformer."""

from __future__ import annotations

from duolect.studies.axes.attending import PUBLISHED, SIZES, TABLE_1, attending, named
from duolect.studies.axes.rows import grouped
from duolect.studies.scales.base import Architecture, Scale
from duolect.studies.study import ALIKE, Claim, Entry, Study

COMPRESSED = [architecture for architecture, compressed in PUBLISHED if compressed]


def compression(scale: Scale) -> Study:
    """With and without, for cross-attention and for audio before the labels."""

    def entry(architecture: Architecture, compress: bool) -> Entry:
        published = f"{PUBLISHED[architecture, compress].transcribed} ({TABLE_1})"
        return attending(scale, architecture, published=published, compress=compress)

    cross, prepend = COMPRESSED
    return Study(
        name="compression",
        title="CTC compression",
        question="What does merging frames by CTC cost in accuracy, and who profits from it?",
        scale=scale.name,
        entries=grouped([entry(architecture, compress) for compress in (False, True)] for architecture in COMPRESSED),
        claims=[
            Claim(
                text="Compression hurts cross-attention.",
                source=f"{TABLE_1}: CoVoST 2, 19.6 % and 21.8 %; none on MuST-C, 10.4 % and 10.3 %",
                better=named(cross),
                worse=named(cross, True),
            ),
            Claim(
                text="Compression does not hurt prepending.",
                source=f"{TABLE_1}: 19.9 % twice on CoVoST 2, 10.3 % and 10.4 % on MuST-C",
                better=named(prepend, True),
                worse=named(prepend),
                margin=ALIKE,
                one_sided=True,
            ),
            Claim(
                text="Compressed, prepending is better than cross-attention.",
                source=f"{TABLE_1}: CoVoST 2, 19.9 % and 21.8 %",
                better=named(prepend, True),
                worse=named(cross, True),
            ),
        ],
        notes=[SIZES, "What it saves in memory and time: study cost."],
    )
