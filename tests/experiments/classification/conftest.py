import pytest

from tests.conftest import write_xrays


@pytest.fixture(scope="session")
def xrays(tmp_path_factory):
    """Both small phantoms of chest X-rays, in one folder."""
    return write_xrays(tmp_path_factory.mktemp("xrays"))
