"""Ask while judging: several questions are out at a time, and told in the order in which they were asked."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


def in_turns(
    ask: Callable[[], Question | None],
    judge: Callable[[Question], Answer],
    workers: int,
    now: Callable[[], float],
) -> Iterator[tuple[Question, Answer, float]]:
    """Questions with their answers, in the order of asking, and the seconds that each took: its share of the workers'.

    The caller tells each answer before it takes the next; then the next question is asked. So what is asked depends on
    what was told and on the number of workers, never on which of them was quicker.

    Parameters
    ----------
    ask
        The next question; ``None``: no more.
    judge
        Called in as many threads as there are workers; with one, in the calling thread.
    now
        The clock, seconds.
    """

    def timed(question: Question) -> tuple[Answer, float]:
        began = now()
        answer = judge(question)
        return answer, (now() - began) / workers

    if workers == 1:
        while (question := ask()) is not None:
            yield question, *timed(question)
        return
    out: deque[tuple[Question, Future[tuple[Answer, float]]]] = deque()
    with ThreadPoolExecutor(workers, "judge") as pool:
        try:
            going = True
            while True:
                while going and len(out) < workers:
                    question = ask()
                    going = question is not None
                    if question is not None:
                        out.append((question, pool.submit(timed, question)))
                if not out:
                    return
                question, future = out.popleft()
                yield question, *future.result()
        finally:
            for _, future in out:
                future.cancel()
