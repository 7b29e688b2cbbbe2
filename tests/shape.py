"""How long files and functions are, and how much of the code is tests: python tests/shape.py.

Code is lines that are neither blank, comment nor docstring. Fails when a file has more than LONGEST_FILE lines.
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 400
LONG_FUNCTION = 60
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(text: str, tree: ast.Module) -> int:
    """Lines that hold code."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in _NO_CODE]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    documented = (node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED) and ast.get_docstring(node))
    strings = (node.body[0] for node in documented)
    return len(lines - {line for s in strings for line in range(s.lineno, (s.end_lineno or s.lineno) + 1)})


def main() -> int:
    """Print the report; returns the exit code."""
    code, lengths, functions = {"package": 0, "tests": 0}, {}, []
    for path in sorted(path for folder in ("edge", "converter", "tests") for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree, name = ast.parse(text), path.relative_to(ROOT)
        lengths[name] = text.count("\n")
        code["tests" if name.parts[0] == "tests" else "package"] += code_lines(text, tree)
        found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        functions += [(node.end_lineno or node.lineno) - node.lineno + 1 for node in found]
    ordered = sorted(lengths.values())
    long = sum(length > LONG_FUNCTION for length in functions) / len(functions)
    print(f"files: {len(ordered)}, p90 {ordered[len(ordered) * 9 // 10]} lines, longest {ordered[-1]}")
    print(f"functions: median {statistics.median(functions):.0f} lines, {long:.1%} over {LONG_FUNCTION}")
    print(f"code: {code['package']} lines, tests {code['tests']}: {code['tests'] / code['package']:.2f} of it")
    too_long = [
        f"{name}: {lines} lines, at most {LONGEST_FILE}" for name, lines in lengths.items() if lines > LONGEST_FILE
    ]
    print("\n".join(too_long), end="\n" * bool(too_long))
    return bool(too_long)


if __name__ == "__main__":
    sys.exit(main())
