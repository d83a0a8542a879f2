"""Never stops by itself, shrugs off SIGTERM, and has a child process."""

import signal
import subprocess
import time

from ai_runner_base import FramePipeline


class Sample(FramePipeline):
    def __init__(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.child = subprocess.Popen(["sleep", "3600"])
        print(f"child {self.child.pid}")

    def transform(self, frame, params):
        return frame

    def teardown(self):
        time.sleep(3600)
