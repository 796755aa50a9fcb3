#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 600
# The small devices of tests/lab/t with a balloon from 2048 to 512 MiB and back.
export LAB_MEMORY=2048M
exec "$(dirname "${BASH_SOURCE[0]}")/../t/43-small-devices.sh"
