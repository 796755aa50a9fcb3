#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Opens VFIO's nodes and starts a program as an ordinary user with the descriptors.

fds.py [--memlock KIB] iommufd|type1|type1-device COMMAND [ARG...]

In each ARG "@0000:01:10.0" becomes the options of --device vfio-pci that hand that function over:
the node of a function and /dev/iommu; its group and the container; or, for type1-device, the
function as well, taken out of the group here.
"""
import fcntl
import os
import re
import resource
import struct
import sys

SET_IOMMU, SET_CONTAINER, GET_DEVICE_FD = 0x3B66, 0x3B68, 0x3B6A
TYPE1V2 = 3


def node(path):
    fd = os.open(path, os.O_RDWR)
    os.set_inheritable(fd, True)
    return fd


class Opener:
    def __init__(self, row):
        self.row = row
        self.ctl = node("/dev/iommu" if row == "iommufd" else "/dev/vfio/vfio")
        self.groups = {}

    def group(self, sysfs):
        number = os.path.basename(os.readlink(sysfs + "/iommu_group"))
        if number not in self.groups:
            fd = self.groups[number] = node("/dev/vfio/" + number)
            if self.row == "type1-device":
                fcntl.ioctl(fd, SET_CONTAINER, struct.pack("i", self.ctl))
                if len(self.groups) == 1:
                    fcntl.ioctl(self.ctl, SET_IOMMU, TYPE1V2)
        return self.groups[number]

    def options(self, match):
        name = match.group(1)
        sysfs = "/sys/bus/pci/devices/" + name
        if self.row == "iommufd":
            cdev = os.listdir(sysfs + "/vfio-dev")[0]
            return "fd=%d,iommufd-fd=%d" % (node("/dev/vfio/devices/" + cdev), self.ctl)
        group = self.group(sysfs)
        text = "host=%s,group-fd=%d,container-fd=%d" % (name, group, self.ctl)
        if self.row == "type1-device":
            device = fcntl.ioctl(group, GET_DEVICE_FD, bytearray(name.encode() + b"\0"))
            os.set_inheritable(device, True)
            text += ",fd=%d" % device
        return text


def main():
    args = sys.argv[1:]
    memlock = 1 << 20
    if args[0] == "--memlock":
        memlock = int(args[1])
        args = args[2:]
    opener = Opener(args[0])
    command = [re.sub(r"@([0-9a-f:.]+)", opener.options, a) for a in args[1:]]
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock * 1024, memlock * 1024))
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    os.execvp(command[0], command)


main()
