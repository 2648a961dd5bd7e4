"""Between a trial that hands requests out and the workers of its Train group: an actor that both of them ask."""

from __future__ import annotations

import asyncio

from raysurf.cluster.request import PREEMPTIONS, Report, Request
from raysurf.results.error_text import LOST

Ticket = tuple[int, Request]


class Broker:
    """Holds one request at a time, and passes its reports on; every method is called from another process.

    A request is done by one incarnation of the group after another, until one of them ends it: Ray Train starts the
    group again when a worker is lost. The request that was in flight is then handed out again, as often as its
    ``retries`` allow; being preempted is none of these tries. Rank 0 opens it in each incarnation, so that all ranks of
    one work on the same.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._number = 0
        self._request: Request | None = None
        self._tries = self._preempted = 0
        self._opened = ("", 0)
        self._holds: str | None = None
        self._broken: Report | None = None
        self._reports: asyncio.Queue[tuple[Report, asyncio.Future[bool] | None]] = asyncio.Queue()
        self._asked: asyncio.Future[bool] | None = None

    async def give(self, request: Request) -> None:
        """The trial hands a request out; the one before is over."""
        self._number, self._request = self._number + 1, request
        self._tries, self._preempted, self._broken, self._reports = 0, 0, None, asyncio.Queue()
        await self._tell_all()

    async def next(self) -> Report:
        """The trial waits for the next report; ``state`` of the last is done or failed, ``group`` what that holds."""
        report, self._asked = await self._reports.get()
        return report | {"group": self._holds}

    async def answer(self, goes_on: bool) -> None:
        """The trial says whether the request goes on after the report that it got last."""
        if not goes_on:
            self._request = None
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(goes_on)

    async def take(self, rank: int, incarnation: str, after: int, holds: str | None) -> Ticket:
        """A worker waits for a request.

        Args:
            rank: The worker's.
            incarnation: Its group's, the same for all ranks from one start of the group to the next.
            after: Number of the request that this worker has done last in this incarnation.
            holds: What the group holds of the cluster; see ``release``.

        Returns:
            The request and its number.
        """
        while True:
            async with self._changed:
                if rank > 0 and self._opened[0] == incarnation and self._opened[1] > after and self._request:
                    return self._number, self._request
                if rank == 0 and self._request is not None and self._number > after and self._may_try():
                    self._opened, self._holds = (incarnation, self._number), holds
                    self._changed.notify_all()
                    return self._number, self._request
                await self._changed.wait()

    def _may_try(self) -> bool:
        """Count a try of the request; one that has had its tries ends as failed."""
        assert self._request is not None
        if self._tries > self._request.retries:
            error = f"{LOST}at its last of {self._tries} tries"
            lost = {"state": "failed", "number": self._request.number, "error": error, "lost": True}
            self._end(self._broken or lost)
            return False
        self._tries += 1
        return True

    async def report(self, number: int, report: Report) -> bool:
        """Rank 0 tells how far the request is, and waits to hear whether it goes on."""
        if number != self._number or self._request is None:
            return False
        asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._reports.put_nowait((report, asked))
        return await asked

    async def ended(self, number: int, report: Report) -> None:
        """Rank 0 tells how the request ended."""
        if number == self._number and self._request is not None:
            self._end(report)

    async def broke(self, number: int, report: Report) -> None:
        """Any rank tells why it leaves, which brings its group down.

        A failure that another try may do away with is kept in case there is none, and what a rank says of the loss of
        another (no ``error``) is nothing of its own.
        """
        if number != self._number or self._request is None or report.get("error") is None:
            return
        if report.get("passing"):
            self._broken = report
        else:
            self._end(report)

    async def preempted(self, number: int, report: Report) -> None:
        """Rank 0 tells that its group has been told to leave, and has kept the request's state."""
        if number == self._number and self._request is not None and self._preempted < PREEMPTIONS:
            self._preempted += 1
            self._tries -= 1
            self._reports.put_nowait(({**report, "state": "preempted"}, None))

    def _end(self, report: Report) -> None:
        self._request = None
        self._reports.put_nowait((report, None))

    async def _tell_all(self) -> None:
        async with self._changed:
            self._changed.notify_all()
