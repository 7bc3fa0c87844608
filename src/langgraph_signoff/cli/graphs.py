"""The graphs and the saver that a `langgraph.json` names, by LangGraph's own convention: https://docs.langchain.com/langgraph-platform/cli."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from langgraph_signoff.cli.exits import Unusable
from langgraph_signoff.cli.shell import read_object

CONFIG_FILE = "langgraph.json"
SQLITE = "sqlite:///"

Graph = Pregel[Any, Any, Any, Any]
Saver = BaseCheckpointSaver[Any]


class Graphs:
    """Makes each graph once, with the saver that was named, and closes what was opened. Use it with `async with`.

    A graph is a compiled graph, a builder, or a factory of one: sync, async or a context manager, with no parameter that
    must be given but one for a config. A saver is likewise one, or a factory.
    """

    def __init__(self, config: Path | None = None, checkpointer: str | None = None) -> None:
        self._file = config or Path(CONFIG_FILE)
        self._config = _read(self._file)
        self._given = checkpointer
        self._paths: dict[str, str] = {name: _path(name, entry) for name, entry in self._config["graphs"].items()}
        self._made: dict[str, Graph] = {}
        self._saver: Saver | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Makes the folder's own modules importable, and its `env` known."""
        folder = self._file.resolve().parent
        local = [entry for entry in self._config.get("dependencies", ()) if str(entry).startswith(".")]
        sys.path += [str((folder / place).resolve()) for place in (".", *local)]
        _set_environment(self._config.get("env"), folder)
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Closes what factories opened."""
        await self._stack.aclose()

    @property
    def names(self) -> list[str]:
        """The names of all graphs."""
        return list(self._paths)

    async def load(self, name: str) -> Graph:
        """The graph of that name; a builder is compiled with the saver, if there is one. Raises Unusable."""
        if name not in self._paths:
            raise Unusable(f"{self._file} names no graph {name!r}; it names {', '.join(sorted(self._paths))}")
        if name not in self._made:
            self._made[name] = await self._graph(name)
        return self._made[name]

    async def name_for(self, recorded: str, thread_id: str) -> str:
        """The name of the graph that a thread's tickets recorded as `recorded`; the only graph is everybody's. Raises Unusable."""
        if recorded in self._paths or len(self._paths) == 1:
            return recorded if recorded in self._paths else next(iter(self._paths))
        fitting = [name for name in self._paths if recorded and (await self.load(name)).get_name() == recorded]
        if len(fitting) != 1:
            names = ", ".join(sorted(self._paths))
            whose = f"was run by graph {recorded!r}" if recorded else "has no ticket that names its graph"
            raise Unusable(f"thread {thread_id!r} {whose}: say which of {names} with --graph")
        return fitting[0]

    async def _graph(self, name: str) -> Graph:
        found = await self._value(self._paths[name], (Pregel, StateGraph), what="a graph")
        saver = await self._shared_saver()
        if isinstance(found, StateGraph):
            return found.compile(checkpointer=saver, name=name)
        if saver is not None and (self._given or not found.checkpointer):
            found = found.copy(update={"checkpointer": saver})
        graph: Graph = found
        return graph

    async def _shared_saver(self) -> Saver | None:
        path = self._config.get("checkpointer") or {}
        if self._saver is None and self._given:
            self._saver = await self._stack.enter_async_context(_sqlite_saver(self._given))
        elif self._saver is None and path.get("path"):
            self._saver = await self._value(str(path["path"]), (BaseCheckpointSaver,), what="a checkpointer")
        return self._saver

    async def _value(self, path: str, kinds: tuple[type, ...], *, what: str) -> Any:
        try:
            value = self._object(path)
            made = (
                value if isinstance(value, kinds) or not callable(value) else await self._entered(_call(value), kinds)
            )
        except Unusable:
            raise
        except (Exception, SystemExit) as error:
            raise Unusable(f"{path}: {_told(error)}") from error
        if not isinstance(made, kinds):
            raise Unusable(f"{path} is a {type(made).__name__}, not {what} or a factory of one")
        return made

    async def _entered(self, made: Any, kinds: tuple[type, ...]) -> Any:
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, kinds):
            return made
        if hasattr(made, "__aenter__"):
            return await self._stack.enter_async_context(made)
        return self._stack.enter_context(made) if hasattr(made, "__enter__") else made

    def _object(self, path: str) -> Any:
        place, _, attribute = path.rpartition(":")
        if not place:
            raise Unusable(f"{path!r} in {self._file} is not written as ./file.py:name or package.module:name")
        is_file = place.endswith(".py") or "/" in place
        module = _module_of_file(self._file.resolve().parent / place) if is_file else importlib.import_module(place)
        if not hasattr(module, attribute):
            raise Unusable(f"{path}: there is no {attribute!r} in {place}")
        return getattr(module, attribute)


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Unusable(f"there is no {file}, which names the graphs; go to its folder, or give --config") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{file} cannot be read: {error}") from error
    config = read_object(text, str(file))
    if not isinstance(config.get("graphs"), dict) or not config["graphs"]:
        raise Unusable(f'{file} names no graphs; write {{"graphs": {{"name": "./file.py:factory"}}}}')
    if not isinstance(config.get("checkpointer") or {}, dict):
        raise Unusable(f'{file}: checkpointer is written as {{"path": "./file.py:factory"}}')
    return config


def _path(name: str, entry: Any) -> str:
    path = entry.get("path") if isinstance(entry, dict) else entry
    if not isinstance(path, str):
        raise Unusable(f"{CONFIG_FILE}: the graph {name!r} is not written as ./file.py:name")
    return path


def _module_of_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise Unusable(f"there is no file {file}")
    # The same name as an import of the file gives: a saver finds the classes of a state by it.
    name = file.stem
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(file):
        return known
    if known is not None or name in sys.stdlib_module_names:
        name = f"signoff_graph_{name}"
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise Unusable(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _call(factory: Callable[..., Any]) -> Any:
    needed = [
        parameter
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if not needed:
        return factory()
    if len(needed) > 1:
        raise Unusable(
            f"the factory {factory.__name__} needs {', '.join(p.name for p in needed)}; only a config is given"
        )
    config: dict[str, Any] = {"configurable": {}}
    return factory(**{needed[0].name: config}) if needed[0].kind is needed[0].KEYWORD_ONLY else factory(config)


def _sqlite_saver(url: str) -> Any:
    if not url.startswith(SQLITE) or url == SQLITE:
        raise Unusable(f"--checkpointer {url}: write {SQLITE}file.db, or name a saver in {CONFIG_FILE}")
    file = Path(url.removeprefix(SQLITE))
    if not file.is_file():
        raise Unusable(f"--checkpointer {url}: there is no file {file}")
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    return AsyncSqliteSaver.from_conn_string(str(file))


def _set_environment(env: Any, folder: Path) -> None:
    if isinstance(env, str):
        try:
            from dotenv import dotenv_values  # type: ignore[import-not-found,unused-ignore]  # optional
        except ImportError:
            warnings.warn(f"{env} was not read: install python-dotenv, or export what it says", stacklevel=2)
            return
        env = dotenv_values(folder / env)
    for key, value in (env or {}).items():
        os.environ.setdefault(str(key), str(value))


def _told(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    last = next(
        (f for f in reversed(frames) if "site-packages" not in f.filename and "<frozen" not in f.filename), None
    )
    where = f" ({Path(last.filename).name}:{last.lineno})" if last and last.filename != __file__ else ""
    return f"{type(error).__name__}: {error}{where}"
