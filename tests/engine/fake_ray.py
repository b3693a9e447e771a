"""A Ray of one process: tasks run when they are waited for, everything that travels is pickled."""

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

from tidewright.market.errors import TidewrightError


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__(f"traceback\n{type(cause).__name__}: {cause}")
        self.cause = cause


class Reference(NamedTuple):
    """To an object in the store; a task that has it as an argument gets the object."""

    name: int


class _Errors:
    RayError = RayError
    RayTaskError = RayTaskError


class FakeRay:
    """What :class:`tidewright.engine.cluster.Cluster` uses of Ray.

    Parameters
    ----------
    around
        Called with a function that runs the task: where a test makes the worker's machine another one.
    """

    exceptions = _Errors

    def __init__(self, cores: int = 2, around: Callable[[Callable[[], Any]], Any] = lambda task: task()) -> None:
        self._cores = cores
        self._around = around
        self._tasks: dict[int, bytes] = {}
        self._objects: dict[int, bytes] = {}
        self.cancelled: list[int] = []

    def remote(self, **_: Any) -> Callable[[Any], Any]:
        return lambda function: _Remote(self, function)

    def submit(self, call: tuple[Any, ...]) -> int:
        self._tasks[len(self._tasks)] = pickle.dumps(call)
        return len(self._tasks) - 1

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self._cores)}

    def put(self, value: Any) -> "Reference":
        reference = Reference(len(self._objects))
        self._objects[reference.name] = pickle.dumps(value)
        return reference

    @property
    def stored(self) -> int:
        """How many objects are in the store."""
        return len(self._objects)

    def wait(self, tasks: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        return tasks[-num_returns:], tasks[:-num_returns]  # the last first: the order of answers may not matter

    def get(self, task: int) -> Any:
        function, sent = pickle.loads(self._tasks[task])
        arguments = [pickle.loads(self._objects[each.name]) if isinstance(each, Reference) else each for each in sent]
        try:
            return pickle.loads(pickle.dumps(self._around(lambda: function(*arguments))))
        except (ValueError, TidewrightError) as error:
            raise RayTaskError(error) from None

    def cancel(self, task: int, force: bool) -> None:
        self.cancelled.append(task)


class _Remote:
    def __init__(self, ray: FakeRay, function: Any) -> None:
        self._ray, self._function = ray, function

    def remote(self, *arguments: Any) -> int:
        return self._ray.submit((self._function, arguments))
