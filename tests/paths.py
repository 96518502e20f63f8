"""Where things are, wherever the test that asks lies."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FIXTURES: Final = ROOT / "tests" / "fixtures"
