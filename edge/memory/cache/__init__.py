"""The INT4 activation cache: what is in it, what each file is worth, and whose turn that makes it."""
