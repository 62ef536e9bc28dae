"""Lets the tests of this folder import `training_toy`, which is also a script for real processes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
