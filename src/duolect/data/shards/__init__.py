"""Training straight from parquet shards: read in place, shuffled, batched, and taken up exactly where a run stopped."""

from duolect.data.shards.batches import ShardBatches
from duolect.data.shards.carried import CarriedBatch
from duolect.data.shards.config import Columns, ShardsConfig
from duolect.data.shards.rows import RowBatches
from duolect.data.shards.source import Shards, ShardSample, is_shards, list_shards

__all__ = [
    "CarriedBatch",
    "Columns",
    "RowBatches",
    "ShardBatches",
    "ShardSample",
    "Shards",
    "ShardsConfig",
    "is_shards",
    "list_shards",
]
