#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvme --timeout 3600
# The apply of tests/lab/t, killed at each single call that changes something.
export LAB_KILL_STEP=1
exec "$(dirname "${BASH_SOURCE[0]}")/../t/12-vfctl-apply.sh"
