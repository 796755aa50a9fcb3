#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 300
# lab-iommufd: long
# A fatal error of the port: tests/lab/t/25-aer.sh, with the link reset under three guests.
exec "$(dirname "${BASH_SOURCE[0]}")/25-aer.sh" fatal
