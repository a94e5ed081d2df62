"""Let this Python's environment see the packages of another one: python share_packages.py VENV.

pip counts them as installed, so that only what the other environment lacks is installed here.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

folders = list(Path(sys.argv[1]).resolve().glob("lib/python*/site-packages"))
if len(folders) != 1:
    raise SystemExit(f"{sys.argv[1]} is no environment with one Python; run make test-fast first")
line = f"import site; site.addsitedir({str(folders[0])!r})\n"
(Path(sysconfig.get_path("purelib")) / "shared.pth").write_text(line, encoding="utf-8")
