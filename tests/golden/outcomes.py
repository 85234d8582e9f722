"""The table of golden outcomes: name -> the function that computes it.

Names are those of version 0.1, under which golden.json holds them.
"""

from __future__ import annotations

from golden import (
    outcomes_data,
    outcomes_files,
    outcomes_mini,
    outcomes_pure,
    outcomes_tiny,
    outcomes_train,
)
from golden.common import Outcome

OUTCOMES: dict[str, Outcome] = {
    **outcomes_pure.OUTCOMES,
    **outcomes_data.OUTCOMES,
    **outcomes_files.OUTCOMES,
    **outcomes_mini.OUTCOMES,
    **outcomes_tiny.OUTCOMES,
    **outcomes_train.OUTCOMES,
}
