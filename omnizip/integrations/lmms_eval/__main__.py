"""`python -m omnizip.integrations.lmms_eval`: print the folder for lmms-eval's --include_path."""

import sys

from . import TASKS

sys.stdout.write(f"{TASKS}\n")
