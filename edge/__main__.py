"""`python -m edge`: the same as `reminisce`."""

import sys

from edge.cli import main

sys.exit(main())
