"""Common to all tests: one thread (OpenMP threads that spin beside other processes cost tenfold), fixed seeds, and
Ctrl-C, which a shell lets what it runs in the background ignore."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for the processes that tests interrupt


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
