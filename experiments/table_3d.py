"""U-Net against Sharp U-Net in three dimensions (section 4.3.3): Jaccard and Dice of volumes.

    python -m experiments.table_3d

It runs on generated volumes; `--data DIR --datasets NAME` takes NIfTI volumes of your own. The
thesis prints no number for it.
"""

import sys

from experiments.common.conclusions import Claim
from experiments.common.table import run_table
from experiments.segmentation.volumes import VolumeTable

CLAIM = Claim(
    "sharp skip connections segment volumes better than plain ones", "section 4.3.3", made=False
)
TABLE = VolumeTable(
    name="table_3d",
    title="U-Net and Sharp U-Net on volumes, by cross-validation",
    datasets=["phantom3d"],
    models=["unet3d", "sharp_unet3d"],
    published={},
    pairs=[("unet3d", "sharp_unet3d")],
    claims={"unet3d": CLAIM},
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
