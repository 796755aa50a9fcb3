#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 1800
# The kill test of tests/lab/t, twenty rounds.
exec "$(dirname "${BASH_SOURCE[0]}")/../t/40-kill.sh" 20
