#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Line coverage of one folder, from what gcov knows of its objects.

    coverage.py BUILD FOLDER

BUILD was configured with --coverage and its tests were run; FOLDER is one of the tree's (vfio). Prints
a line for each file: lines that have code, lines that ran, and which did not.
"""
import json
import os
import subprocess
import sys


def spans(numbers):
    """[1, 2, 3, 7] as "1-3 7"."""
    out = []
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in out)


def lines_of(build, notes, source):
    """{line: count} of @source in one object."""
    answer = subprocess.run(
        ["gcov", "--json-format", "--stdout", notes],
        cwd=build,
        check=True,
        capture_output=True,
    ).stdout
    lines = {}
    for file in json.loads(answer)["files"]:
        if os.path.basename(file["file"]) != source:
            continue
        for line in file["lines"]:
            number = line["line_number"]
            lines[number] = lines.get(number, 0) + line["count"]
    return lines


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    objects = os.path.join(build, f"CMakeFiles/viaduct_{folder}.dir", folder)
    total = covered = 0
    print(f"{'file':28} {'lines':>6} {'ran':>6} {'':>7}  did not run")
    for name in sorted(os.listdir(objects)):
        if not name.endswith(".c.gcno"):
            continue
        source = name[: -len(".gcno")]
        lines = lines_of(build, os.path.join(objects, name), source)
        ran = sum(1 for count in lines.values() if count)
        missed = sorted(n for n, count in lines.items() if not count)
        total += len(lines)
        covered += ran
        percent = 100 * ran / len(lines) if lines else 100
        print(f"{folder + '/' + source:28} {len(lines):6} {ran:6} {percent:6.1f}%  {spans(missed)}")
    if not total:
        sys.exit(f"nothing was measured in {objects}")
    print(f"{'total':28} {total:6} {covered:6} {100 * covered / total:6.1f}%")


main()
