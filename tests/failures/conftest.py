"""What tries to break the five promises runs at every door, sync and async; the tool node also in all of its four ways."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from failures.crew import DOORS
from failures.world import MODES, Mode, World


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "is_async" in metafunc.fixturenames and metafunc.config.getoption("--long"):
        metafunc.parametrize("is_async", [False, True], ids=["sync", "async"])


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    """Each place where the gate may stand in the processes of a story."""
    return str(request.param)


@pytest.fixture
def is_async(rng: random.Random) -> bool:
    """Whether the processes of a story are async; both with `--long`."""
    return rng.choice([False, True])


@pytest.fixture(params=MODES, ids=str)
def mode(request: pytest.FixtureRequest) -> Mode:
    """One of the four ways."""
    return request.param


@pytest.fixture
def world(tmp_path: Path, mode: Mode) -> Iterator[World]:
    """A world in each of the four ways."""
    made = World(tmp_path, mode)
    yield made
    made.close()


@pytest.fixture
def sync_world(tmp_path: Path) -> Iterator[World]:
    """A world that is sync, with whole messages: where the way makes no difference."""
    made = World(tmp_path, MODES[0])
    yield made
    made.close()


@pytest.fixture(params=[mode for mode in MODES if mode.is_async], ids=str)
def async_world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """A world that is async, in both of its ways."""
    made = World(tmp_path, request.param)
    yield made
    made.close()
