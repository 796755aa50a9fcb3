#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 3600
# The kill test of tests/lab/t, a hundred rounds (LAB_ROUNDS).
exec "$(dirname "${BASH_SOURCE[0]}")/../t/40-kill.sh" "${LAB_ROUNDS:-100}"
