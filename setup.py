"""Installs the two packages; `experiments` and `notebooks` are run from a checkout."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "sharpunet/__init__.py").read_text())

setup(
    name="melanet-sharpunet",
    version=version[1],
    description="MelaNet and Sharp U-Net (Zunair 2021), reproduced in Keras",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["melanet", "melanet.*", "sharpunet", "sharpunet.*"]),
    entry_points={
        "console_scripts": [
            "melanet=melanet.__main__:main",
            "sharpunet=sharpunet.__main__:main",
        ]
    },
    package_data={"melanet": ["py.typed"], "sharpunet": ["py.typed"]},
    install_requires=[
        "h5py>=3.14",
        "imagecodecs",
        # Distribution needs names that Keras does not promise; a minor version may move them.
        "keras>=3.15,<3.16",
        "nibabel>=5.3",
        "numpy>=2",
        "opencv-python>=4.10",
        "pandas>=2.2",
        "pillow>=11",
        "pydicom>=3.0",
        "scikit-learn>=1.6",
        "scipy>=1.14",
        "skops>=0.13",
        "tensorflow>=2.21,<2.22",
        "tifffile>=2025.1",
        "tqdm>=4.66",
        "wrapt>=1.17",
    ],
    extras_require={
        # Peers to be measured beside; not in requirements.txt. On a machine without a GPU, the
        # index https://download.pytorch.org/whl/cpu has a PyTorch of a tenth of the size.
        "bench": ["monai>=1.5", "segmentation-models-pytorch>=0.5", "torch>=2.9"],
        "demo": ["gradio>=6"],
        "docs": ["furo>=2025.7", "myst-nb>=1.3", "sphinx>=8.2"],
        "experiments": [
            "imbalanced-learn>=0.14",
            "jinja2>=3.1",
            "matplotlib>=3.9",
            "tabulate>=0.9",
            "umap-learn>=0.5.7",
        ],
        "notebooks": ["ipykernel>=6.29", "matplotlib>=3.9", "nbclient>=0.10", "nbformat>=5.10"],
        "test": ["mypy>=1.15", "playwright>=1.50", "pytest>=8.3", "pytest-xdist>=3.6", "ruff>=0.9"],
    },
)
