"""Sweep files that went wrong at random: what a slip of the hand, a bad merge or malice makes of the shipped ones."""

from __future__ import annotations

import random
import re

VALUES = (
    "null", "true", "''", "[]", "{}", "[[]]", "{kind: sgd}", "{kind: [sgd]}", "-1", "0", "1", "1.5", "1e-300", "1e300",
    "99999999999999999999", "'1'", "\"\\ud800\"", "\"\\x1b[31m\"", "[5]", "[1, 2, 3]", "{a: {b: c}}", "!int [1, 3]",
    "!float [0, 1]", "!float {low: 0, high: 1, step: 1e-300}", "!int {low: 3, high: 3}", "!choice [a]", "!choice []",
    "!choice [[1], {kind: sgd}]", "!each [1, 1]", "!each [{kind: a}, 2]", "!include nothing.yaml", "!include /dev/zero",
    "!nope 1", "&a [*a]", "~/x", "~nobody/x", "../..", "x" * 300, ".a:b", "a:b", "os:getcwd", ":", "a.b:", "=", "{",
    "kind: kind", "digits", "sgd", "swa", "2026-01-01", "0x10", "1_000", "+.5", ".inf", "no", "@x", "%y", "\t",
)  # fmt: skip


def mutated(text: str, draw: random.Random) -> str:
    """A text with one to four random edits of its lines, keys and values."""
    for _ in range(draw.randint(1, 4)):
        lines = text.splitlines() or [""]
        at = draw.randrange(len(lines))
        line = lines[at]
        kind = draw.randrange(8)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, draw.choice(lines))
        elif kind == 2:
            lines[at] = " " * draw.randrange(5) + line.lstrip()
        elif kind == 3 and ":" in line:
            lines[at] = f"{line[: line.index(':')]}: {draw.choice(VALUES)}"
        elif kind == 4:
            words = re.findall(r"[\w.]+", line)
            lines[at] = line.replace(draw.choice(words), draw.choice(VALUES), 1) if words else line
        elif kind == 5:
            lines[at], other = draw.choice(lines), line
            lines[draw.randrange(len(lines))] = other
        elif kind == 6 and line:
            place = draw.randrange(len(line))
            lines[at] = line[:place] + draw.choice("{}[],:!&*#|>'\"%@`-?\0é\u202e9") + line[place + draw.randrange(2) :]
        else:
            lines = lines[:at] if draw.random() < 0.2 else lines
        text = "\n".join(lines) + "\n"
    return text
