"""What studies are made of: stages whose outcomes are kept by content, and taken up again where they stand.

The kinds are in modules of their own (corpora, training, recognition), which need torch; what runs stages does not.
"""

from duolect.studies.stages.base import Needs, Stage, in_order
from duolect.studies.stages.store import Made, Store

__all__ = ["Made", "Needs", "Stage", "Store", "in_order"]
