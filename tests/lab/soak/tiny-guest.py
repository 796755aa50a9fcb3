#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the smallest guest there is: an ELF image with a PVH entry (Xen docs/misc/pvh.pandoc) whose
few instructions write "S5" into the ACPI sleep register (vmm/acpi.h) and so switch the guest off."""
import struct
import sys

BASE = 0x100000
CODE = bytes([
    0x66, 0xba, 0x00, 0x06,  # mov dx, 0x600
    0xb0, 0x34,              # mov al, sleep type 5, enable
    0xee,                    # out dx, al
    0xf4, 0xeb, 0xfd,        # hlt, again
])
note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", BASE)
header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
    "<HHIQQQIHHHHHH", 2, 62, 1, BASE, 64, 0, 0, 64, 56, 2, 0, 0, 0)
load = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, BASE, BASE, len(CODE), 0x1000, 0x1000)
notes = struct.pack("<IIQQQQQQ", 4, 4, 0x800, 0, 0, len(note), len(note), 4)
image = (header + load + notes).ljust(0x800, b"\0") + note
with open(sys.argv[1], "wb") as out:
    out.write(image.ljust(0x1000, b"\0") + CODE)
