#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 300
# lab-iommufd: long
# An error of the PF and not of the port: see 25-aer.sh.
exec "$(dirname "${BASH_SOURCE[0]}")/25-aer.sh" card
