"""What tries to break the five promises runs in four ways: sync and async, whole messages and one task per call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from failures.world import MODES, Mode, World


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
