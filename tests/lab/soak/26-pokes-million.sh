#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvmepf --timeout 3600
# lab-iommufd: long
# The random writes of tests/lab/t, a million of them (LAB_POKES).
export LAB_POKES=${LAB_POKES:-1000000}
exec "$(dirname "${BASH_SOURCE[0]}")/../t/26-pokes.sh"
