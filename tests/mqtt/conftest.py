"""Settings of hypothesis for a machine that is slow and busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("reminisce", deadline=None, database=None, print_blob=True)
settings.load_profile("reminisce")
