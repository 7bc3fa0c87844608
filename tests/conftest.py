"""Options of the suite, and the seed of its sampled matrices."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

settings.register_profile("calm", deadline=None)  # a busy machine is no mistake of the code
settings.load_profile("calm")

if TYPE_CHECKING:
    from agents import Agency
    from gates import Release
    from support import Clock


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long matrices whole instead of a seeded sample")
    parser.addoption(
        "--matrix-seed", type=int, default=int(os.environ.get("SIGNOFF_SEED", "1")), help="seed of the sample"
    )


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run's samples."""
    return int(request.config.getoption("--matrix-seed"))


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that a failing test can be given again: they hang on the seed and the test's name."""
    return random.Random(f"{seed}:{request.node.nodeid}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger may be made."""
    return tmp_path / "ledger.db"


@pytest.fixture
def clock() -> Clock:
    """A clock that stands until the test moves it."""
    from support import Clock

    return Clock()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One `langgraph dev` for all tests of the group `server`."""
    from serving import serving

    with serving(tmp_path_factory.mktemp("server")) as made:
        yield made


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Release]:
    """A release that is sync: where the way makes no difference."""
    from gates import Release

    made = Release(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def firm(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Agency]:
    """An agency in both ways."""
    from agents import agency

    with agency(tmp_path, is_async=request.param) as made:
        yield made


@pytest.fixture
def sync_firm(tmp_path: Path) -> Iterator[Agency]:
    """One that is sync: where the way makes no difference."""
    from agents import agency

    with agency(tmp_path) as made:
        yield made
