"""Gives a Python process another time of day: the true one and the seconds that the file SKEWED_BY names."""

import os
import time
from pathlib import Path

_real = time.time
_file = Path(os.environ["SKEWED_BY"])
time.time = lambda: _real() + float(_file.read_text())
