"""Named lists of the clips of test sets, as papers use them.

A list holds ids, no captions and no sounds. To add one, add a file to `subsets/` and a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class SubsetList:
    """A row of `SUBSETS`.

    Attributes:
        name: the word that users type.
        description: which clips they are.
        source: where the ids were read.
        num_clips: number of ids.
        sha256: hash of the ids, joined by line breaks.
    """

    name: str
    description: str
    source: str
    num_clips: int
    sha256: str

    def read(self) -> tuple[str, ...]:
        """Return the ids in their order."""
        folder = resources.files(__package__).joinpath("subsets")
        return tuple(folder.joinpath(f"{self.name}.txt").read_text("utf-8").split())


_ROWS = (
    SubsetList(
        "audiocaps-964",
        "YouTube ids of AudioCaps' test set that AudioLDM and AudioLDM 2 were evaluated on",
        "haoheliu/audioldm_eval (MIT) at db994fd, audioldm_eval/clap_score/fname_caption_mapping/"
        "audiocaps_test_nonrepeat_subset_2_filename_to_caption_mapping.py",
        964,
        "5a88ce682cec1fc31bd63568cf11c3632223f9f5f9db5164e2580e6f8202a225",
    ),
)

SUBSETS: dict[str, SubsetList] = {row.name: row for row in _ROWS}
"""Every named list by name."""
