"""Which kernel? The study that section 4.3.2 proposes: Sharp U-Net with every kernel.

    python -m experiments.kernel_ablation --data DIR --datasets isbi2012

Every kernel is compared with plain U-Net, and with K of eq. 3.1 (`laplacian`); `learned` starts
each channel from K and trains it. The thesis gives no numbers for it.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from experiments.common.conclusions import Claim
from experiments.common.table import run_table
from experiments.segmentation.table import SegmentationTable
from experiments.table_3_1 import TABLE as TABLE_3_1
from melanet import lazy
from sharpunet.names import KERNEL_NAMES


def _builders() -> dict[str, Callable[..., Any]]:
    from sharpunet import sharp_unet, unet

    return {
        "unet": unet,
        **{kernel: partial(sharp_unet, kernel=kernel) for kernel in KERNEL_NAMES},
        "learned": partial(sharp_unet, learned=True),
    }


BUILDERS = lazy.LazyMapping(("unet", *KERNEL_NAMES, "learned"), _builders)
TABLE = SegmentationTable(
    name="kernel_ablation",
    title="Kernel ablation: Sharp U-Net with every kernel of the sharp block",
    datasets=TABLE_3_1.datasets,
    models=list(BUILDERS),
    published={},
    pairs=[
        *(("unet", name) for name in BUILDERS if name != "unet"),
        *(("laplacian", name) for name in BUILDERS if name not in ("unet", "laplacian")),
    ],
    claims={
        "unet": Claim("sharp blocks help with this kernel", "section 4.3.2", made=False),
        "laplacian": Claim("another kernel is better than K", "section 4.3.2", made=False),
    },
    builders=BUILDERS,
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
