"""Ctrl-C while the kit is still being loaded."""

import signal
import subprocess
import sys


def test_ctrl_c_before_it_has_begun_leaves_one_line() -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "conformance", "checks"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Who runs the tests in the background has the signal ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as kit:  # fmt: skip
        assert kit.stderr is not None
        # Of many modules that are on the way, an early one.
        assert any(line.rstrip().endswith(" httpx._exceptions") for line in kit.stderr)
        kit.send_signal(signal.SIGINT)
        *_, last = kit.stderr.read().splitlines()
    assert (kit.returncode, last) == (130, "conformance: stopped")
