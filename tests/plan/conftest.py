from collections.abc import Iterator

import pytest
from plan_networks import install, uninstall


@pytest.fixture(autouse=True, scope="package")
def made_up_operator() -> Iterator[None]:
    """The operator of the made-up networks is known while these tests run, and only then."""
    install()
    yield
    uninstall()
