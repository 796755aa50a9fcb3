#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A sysfs of COUNT functions below DIR, with what `vfctl list` looks at: PFs of 255 VFs each, one
function in 16 with an interface, each in an IOMMU group of its own; uevent as a kernel writes it."""
import os
import sys


def put(path, text):
    with open(path, "w") as f:
        f.write(text)


def function(root, n):
    bus, dev, fn = n >> 8, n >> 3 & 0x1F, n & 7
    addr = f"0001:{bus:02x}:{dev:02x}.{fn}"
    here = f"{root}/devices/pci0001:00/{addr}"
    os.mkdir(here)
    vf = n & 255 != 0
    put(f"{here}/uevent",
        f"DRIVER={'igbvf' if vf else 'igb'}\nPCI_CLASS=20000\nPCI_ID=8086:{'10CA' if vf else '10C9'}\n"
        f"PCI_SUBSYS_ID=8086:0001\nPCI_SLOT_NAME={addr}\n"
        f"MODALIAS=pci:v00008086d0000{'10CA' if vf else '10C9'}sv00008086sd00000001bc02sc00i00\n")
    os.symlink(f"../../../devices/pci0001:00/{addr}", f"{root}/bus/pci/devices/{addr}")
    driver = "igbvf" if vf else "igb"
    os.symlink(f"../../../bus/pci/drivers/{driver}", f"{here}/driver")
    os.symlink(f"../../../../devices/pci0001:00/{addr}", f"{root}/bus/pci/drivers/{driver}/{addr}")
    os.symlink(f"../../../kernel/iommu_groups/{n}", f"{here}/iommu_group")
    if vf:
        os.symlink(f"../0001:{bus:02x}:00.0", f"{here}/physfn")
    else:
        put(f"{here}/sriov_totalvfs", "255\n")
        put(f"{here}/sriov_numvfs", "255\n")
        put(f"{here}/sriov_offset", "1\n")
        put(f"{here}/sriov_stride", "1\n")
    if n % 16 == 0:
        os.symlink(f"../../devices/pci0001:00/{addr}/net/n{n}", f"{root}/class/net/n{n}")


def main():
    root, count = sys.argv[1], int(sys.argv[2])
    for sub in ("bus/pci/devices", "class/net", "devices/pci0001:00", "bus/pci/drivers/igb",
                "bus/pci/drivers/igbvf"):
        os.makedirs(f"{root}/{sub}")
    for n in range(count):
        function(root, n)


main()
