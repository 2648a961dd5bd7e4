"""Signals that come where Python loses what a handler raises."""

from __future__ import annotations

import os
import signal

import click
import pytest

from raysurf.cli.interrupts import Interrupts


class Signalled:
    """Is sent SIGTERM while it is being deleted."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def leave(number: int, frame: object) -> None:
    """What Ray does while it starts."""
    raise SystemExit


def signalled_run(is_rays: bool) -> None:
    """A run that is asked to leave where Python loses it, and looks later."""
    with Interrupts() as interrupts:
        if is_rays:
            signal.signal(signal.SIGTERM, leave)
        lost = Signalled()
        del lost
        with interrupts.shutdown:
            assert interrupts.shutdown.requested


@pytest.mark.parametrize("is_rays", [False, True])
def test_what_python_loses_is_asked_for_all_the_same(is_rays: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """A signal that comes where Python drops exceptions stops the run all the same, with no word of an ignored one."""
    with pytest.raises(click.exceptions.Exit) as ended:
        signalled_run(is_rays)
    assert ended.value.exit_code == 128 + signal.SIGTERM
    said = capfd.readouterr().err
    assert said.startswith("stopped by SIGTERM; what is finished is kept")
    assert "ignored" not in said


def test_other_errors_that_python_loses_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other exceptions that Python drops still reach its hook."""
    raised: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", raised.append)

    class Broken:
        def __del__(self) -> None:
            raise ValueError("lost")

    with Interrupts():
        broken = Broken()
        del broken
    assert len(raised) == 1
