"""python -m converter.cli."""

import sys

from converter.cli.main import main

sys.exit(main())
