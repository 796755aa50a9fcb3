#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks, network cards and balloon of viaduct and QEMU, in turn on one host: gates G7 to G9.

Two guests, one of each VMM, run beside each other with all devices; what is measured is said on their
consoles, for one VMM and then for the other. Rates and round trips are taken while nobody counts;
system calls come from the kernel's raw_syscalls and exits from its kvm_userspace_exit, in runs of
their own, less those that an answer on the console takes. Rates mean nothing but in proportion.
"""
import argparse
import json
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import time

from measure import TRACING, cell, read, write

CMDLINE = "console=ttyS0 quiet panic=-1 mitigations=off ipv6.disable=1"
FACTOR = int(os.environ.get("LAB_TIMEOUT_FACTOR", "1"))
VMMS = ("viaduct", "qemu")
NIC_SECONDS, DISK_SECONDS, PINGS = 2, 2, 60
REQUESTS, REQUESTS_SECONDS = 2000, 6  # counted, whichever comes first
COUNT_ROUNDS = 2  # at most: counts differ less than rates
BALLOON_MIB, BALLOON_LEFT_MIB = 1024, 384
DISCARDS = ("madvise", "fallocate")
TRIGGERS = {"calls": ("raw_syscalls/sys_enter", "hist:keys=common_pid,id.syscall:size=4096"),
            # An irqfd's too; of all guests, but the other one is idle.
            "interrupts": ("kvm/kvm_msi_set_irq", "hist:keys=data"),
            "exits": ("kvm/kvm_userspace_exit", "hist:keys=common_pid")}
# Network modes: what the table calls them, and the third byte of the guest's address there
E1000, USER, VHOST, VHOST_USER, VF = ("e1000", "virtio-net", "virtio-net, vhost",
                                      "virtio-net, vhost-user", "igb VF")
NETS = {E1000: 1, USER: 2, VHOST: 3, VHOST_USER: 4}


class Missing(Exception):
    """Why a figure is not there."""


def mac(vmm, mode):
    return f"52:54:00:00:{VMMS.index(vmm):02x}:{NETS[mode]:02x}"


def tap(vmm, mode):
    return f"{vmm[0]}tap{NETS[mode]}"


def net(vmm, mode):
    """The first three bytes of the network between guest and host."""
    return "10.0.2" if mode == VF else f"10.{10 + VMMS.index(vmm)}.{NETS[mode]}"


class Guest:
    """A guest whose commands are read from its console; see devices-host."""

    def __init__(self, vmm, cmd):
        self.vmm, self.text = vmm, ""
        self.errors = f"/mnt/{vmm}.err"
        with open(self.errors, "w") as errors:
            self.proc = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=errors)
        self.quiet = {}  # of each length of a line: what it takes by itself
        try:
            self.await_line("READY", 120)
        except Missing:
            self.end()
            raise

    def await_line(self, pattern, seconds):
        """Until a line matches; what was said before it, and the match."""
        end = time.monotonic() + seconds * FACTOR
        while True:
            m = re.search(rf"^{pattern}\r?$", self.text, re.M)
            if m:
                said, self.text = self.text[:m.start()], self.text[m.end():]
                return said, m
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.proc.stdout], [], [], left)[0]:
                raise Missing(f"{self.vmm}: no answer within {seconds * FACTOR} s")
            got = os.read(self.proc.stdout.fileno(), 65536)
            if not got:
                raise Missing(f"{self.vmm} ended: {read(self.errors)[-300:] or self.text[-300:]}")
            self.text += got.decode(errors="replace")

    def do(self, line, seconds=60):
        self.text = ""
        self.proc.stdin.write(line.encode() + b"\n")
        self.proc.stdin.flush()
        said, m = self.await_line(r"DONE (\d+)", seconds)
        if m.group(1) != "0":
            raise Missing(f"{line}: status {m.group(1)} in the guest: {said.strip()[-200:]}")
        return said

    def value(self, line, seconds=60):
        said = self.do(line, seconds)
        m = re.search(r"^VALUE ([\d.]+)", said, re.M)
        if not m or not float(m.group(1)):
            raise Missing(f"{line}: nothing measured")
        return float(m.group(1))

    def tasks(self):
        return {int(tid) for tid in os.listdir(f"/proc/{self.proc.pid}/task")}

    def counted(self, line, seconds=60):
        """What @line measured, and the VMM's system calls meanwhile by name; with "exits" to user
        space and "interrupts" by message."""
        tasks = self.tasks()
        for event, trigger in TRIGGERS.values():
            write(f"{TRACING}events/{event}/trigger", trigger)
        try:
            value = self.value(line, seconds)
            hists = {name: read(f"{TRACING}events/{event}/hist")
                     for name, (event, _) in TRIGGERS.items()}
        finally:
            for event, trigger in TRIGGERS.values():
                write(f"{TRACING}events/{event}/trigger", "!" + trigger)
        tasks |= self.tasks()
        calls = {"exits": 0}
        for pid, name, n in re.findall(r"common_pid:\s*(\d+), id: (?:sys_)?(\w+)\s*(?:\[ *\d+\])? *}"
                                       r" hitcount:\s*(\d+)", hists["calls"]):
            if int(pid) in tasks:
                calls[name] = calls.get(name, 0) + int(n)
        calls["all"] = sum(calls.values())
        for pid, n in re.findall(r"common_pid:\s*(\d+) *} hitcount:\s*(\d+)", hists["exits"]):
            calls["exits"] += int(n) if int(pid) in tasks else 0
        calls["interrupts"] = sum(int(n) for n in re.findall(r"} hitcount:\s*(\d+)",
                                                             hists["interrupts"]))
        return value, calls

    def count(self, line, seconds=60):
        """The same for each of what was done, without what a line and its answer take."""
        length = len(line)
        if length not in self.quiet:
            self.quiet[length] = self.counted("null".ljust(length - 1) + "x")[1]
        quiet = self.quiet[length]
        n, calls = self.counted(line, seconds)
        return {name: max(0, calls[name] - quiet.get(name, 0)) / n for name in calls}

    def end(self):
        self.proc.kill()
        self.proc.wait()


class Qmp:
    """A monitor as QEMU's clients know it, which viaduct's is too."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(300)
        self.file = self.sock.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            got = json.loads(self.file.readline())
            if "return" in got:
                return got["return"]
            if "error" in got:
                raise Missing(f"{command}: {got['error']['desc']}")


class Bench:
    def __init__(self, args):
        self.a = args
        self.rows = {}
        self.guests, self.servers, self.pollers, self.no_guest = {}, [], {}, {}
        self.absent = {}  # (vmm, name): why a guest lacks it
        self.options = self.viaduct_options()
        self.count_rounds = min(self.a.rounds, COUNT_ROUNDS)

    def viaduct_options(self):
        """The options of each of viaduct's devices."""
        said = subprocess.run([self.a.viaduct, "run", "--device", "help"], capture_output=True,
                              text=True).stdout
        options, device = {}, None
        for line in said.splitlines():
            m = re.match(r"( {2}| {4})([\w-]+) ", line)
            if m and len(m.group(1)) == 2:
                device = options.setdefault(m.group(2), set())
            elif m:
                device.add(m.group(2))
        return options

    def wanted(self, *names):
        return any(re.search(self.a.only, name) for name in names)

    # --- the guests ------------------------------------------------------------------------------
    def base(self, vmm, memory, initrd, share=False):
        a = self.a
        if vmm == "viaduct":
            return [a.viaduct, "run", "--kernel", a.kernel, "--initrd", initrd, "--append", CMDLINE,
                    "--memory", f"{memory}M" + (",share=on" if share else ""), "--cpus", "1"]
        cmd = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", str(memory), "-smp",
               "1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial",
               "stdio", "-kernel", a.kernel, "-initrd", initrd, "-append", CMDLINE]
        if not share:
            return cmd + ["-M", "q35"]
        return cmd + ["-M", "q35,memory-backend=ram", "-object",
                      f"memory-backend-memfd,id=ram,size={memory}M,share=on"]

    @staticmethod
    def image(vmm, name):
        path = f"/mnt/disk/{vmm}-{name}.raw"
        if not os.path.exists(path):
            with open(path, "wb") as f:
                f.write(bytes(64 << 20))
        return path

    def viaduct_all(self):
        blk = f"virtio-blk,path={self.image('viaduct', 'blk')}"
        cmd = self.base("viaduct", 512, self.a.large)
        if "iothread" in self.options["virtio-blk"]:
            blk += ",iothread=on"
        cmd += ["--device", blk, "--device", f"vfio-pci,host={self.a.vfs[0]}"]
        for mode, device in ((E1000, "e1000"), (USER, "virtio-net"), (VHOST, "virtio-net")):
            device += f",net=tap,ifname={tap('viaduct', mode)},mac={mac('viaduct', mode)}"
            if mode != E1000 and "vhost" in self.options["virtio-net"]:
                device += f",vhost={'on' if mode == VHOST else 'off'}"
            elif mode == VHOST:
                self.absent["viaduct", VHOST] = "this viaduct has no vhost-net"
                continue
            cmd += ["--device", device]
        self.absent["viaduct", "IDE"] = "no IDE yet"
        return cmd

    def qemu_all(self):
        cmd = self.base("qemu", 512, self.a.large)
        cmd += ["-object", "iothread,id=io0", "-device", f"vfio-pci,host={self.a.vfs[1]}"]
        for name, device in (("blk", "virtio-blk-pci,drive=blk,iothread=io0,num-queues=1"),
                             ("ide", "ide-hd,drive=ide,bus=pata.0")):
            if name == "ide":
                cmd += ["-device", "piix3-ide,id=pata"]
            cmd += ["-blockdev", f"driver=file,node-name={name}-file,aio=io_uring,"
                    f"filename={self.image('qemu', name)}",
                    "-blockdev", f"driver=raw,node-name={name},file={name}-file", "-device", device]
        for mode, device in ((E1000, "e1000"), (USER, "virtio-net-pci"), (VHOST, "virtio-net-pci")):
            name = tap("qemu", mode)
            vhost = "on" if mode == VHOST else "off"
            cmd += ["-netdev", f"tap,id={name},ifname={name},script=no,downscript=no,vhost={vhost}",
                    "-device", f"{device},netdev={name},mac={mac('qemu', mode)},romfile="]
        return cmd

    def start(self, commands):
        for vmm, command in commands.items():
            self.say(f"a guest of {vmm}")
            try:
                self.guests[vmm] = Guest(vmm, command())
            except (Missing, OSError) as e:
                self.say(str(e))
                self.no_guest[vmm] = str(e)

    def end(self):
        for guest in self.guests.values():
            guest.end()
        for proc in self.servers:
            proc.kill()
            proc.wait()
        self.save()
        self.guests, self.servers, self.pollers, self.no_guest = {}, [], {}, {}

    @staticmethod
    def taps():
        for vmm in VMMS:
            for mode in E1000, USER, VHOST:
                name = tap(vmm, mode)
                for cmd in (f"ip tuntap add {name} mode tap",
                            f"sysctl -q net.ipv6.conf.{name}.disable_ipv6=1",
                            f"ip addr add {net(vmm, mode)}.1/24 dev {name}",
                            f"ip link set {name} up"):
                    subprocess.run(cmd.split(), check=True)

    # --- taking figures --------------------------------------------------------------------------
    @staticmethod
    def say(text):
        print(f"# {text}", file=sys.stderr, flush=True)

    def keep(self, what, vmm, value):
        row = self.rows.setdefault(what, {"what": what, "missing": {}, **{v: [] for v in VMMS}})
        if isinstance(value, str):
            row["missing"][vmm] = value
        row[vmm].append(None if isinstance(value, str) else value)

    def take(self, name, keys, fn, rounds=None):
        """fn(guest) gives a dict of figures; of each VMM in turn, the first one changing."""
        for r in range(rounds or self.a.rounds):
            self.say(f"{name}: {keys[0]}: round {r + 1}")
            for vmm in VMMS if r % 2 == 0 else VMMS[::-1]:
                self.poll(vmm, name == VHOST_USER)
                try:
                    got = (self.absent.get((vmm, name.split(":")[0])) or self.no_guest.get(vmm) or
                           fn(self.guests[vmm]))
                except (Missing, OSError) as e:
                    got = str(e)
                    self.say(f"{name}: {vmm} FAILED: {e}")
                self.poll(vmm, False)
                for key in keys:
                    self.keep(f"{name}: {key}", vmm, got if isinstance(got, str) else got[key])

    def disk(self, name, device, patterns, counted):
        for rw, depth in patterns:
            what = f"{name}: 4 KiB {rw[4:]}s, depth {depth}"
            self.take(what, ["IOPS"],
                      lambda g: {"IOPS": g.value(f"iops {device} {rw} {depth} {DISK_SECONDS}")})
            if not counted:
                continue

            def count(g):
                c = g.count(f"requests {device} {rw} {depth} {REQUESTS} {REQUESTS_SECONDS}")
                return {"io_uring_enter": c.get("io_uring_enter", 0.0),
                        "interrupts": c["interrupts"], "system calls": c["all"],
                        "exits": c["exits"]}
            self.take(what, ["io_uring_enter", "interrupts", "system calls", "exits"], count,
                      self.count_rounds)

    def nic(self, mode):
        host = {vmm: net(vmm, mode) + (".50" if mode == VF else ".1") for vmm in VMMS}
        for i, vmm in enumerate(VMMS):
            own = mac(vmm, mode) if mode != VF else "vf"
            self.poll(vmm, True)
            try:
                if vmm in self.guests and (vmm, mode) not in self.absent:
                    prefix, last = host[vmm].rsplit(".", 1)
                    self.guests[vmm].do(f"up {own} {prefix}.{70 + i} {last}"
                                         + (" whole" if mode == VHOST_USER else ""))
            except (Missing, OSError) as e:
                self.absent[vmm, mode] = f"the network does not come up: {e}"
            self.poll(vmm, False)
        self.take(mode, ["round trip, ms"],
                  lambda g: {"round trip, ms": g.value(f"rtt {host[g.vmm]} {PINGS}")})
        for way, option in ("to the host", ""), ("from the host", "-R"):
            key = f"{way}, Mb/s"
            self.take(mode, [key], lambda g: {key: g.value(
                f"tcp {host[g.vmm]} {NIC_SECONDS} {option}")})
        for what, line in (("small packet to the host", "small {} 1"),
                           ("small packet from the host", "small {} 1 -R"),
                           ("packet of a ping", "pings {} 200")):
            key = f"system calls for a {what}"
            self.take(mode, [key],
                      lambda g: {key: g.count(line.format(host[g.vmm]))["all"]},
                      self.count_rounds)

    def balloon(self):
        """Discards for BALLOON_MIB taken from a guest that has touched little."""
        memory = BALLOON_MIB + BALLOON_LEFT_MIB

        def inflate(vmm, path):
            qmp = Qmp(path)

            def to(mib):
                qmp.ask("balloon", value=mib << 20)
                end = time.monotonic() + 200 * FACTOR
                while qmp.ask("query-balloon")["actual"] != mib << 20:
                    if time.monotonic() > end:
                        raise Missing(f"the balloon stops at {qmp.ask('query-balloon')}")
                    time.sleep(0.5)
            guest = self.guests[vmm]
            guest.value = lambda *_: to(BALLOON_LEFT_MIB) or 1.0
            _, calls = guest.counted("")
            to(memory)
            return {"discards": sum(calls.get(name, 0) for name in DISCARDS)}
        for vmm in VMMS:
            path = f"/mnt/{vmm}.qmp"
            cmd = self.base(vmm, memory, self.a.small)
            if vmm == "viaduct":
                cmd += ["--device", "virtio-balloon,free-page-reporting=off", "--monitor", path]
            else:
                cmd += ["-device", "virtio-balloon-pci", "-qmp", f"unix:{path},server=on,wait=off"]
            what = f"balloon: {BALLOON_MIB} MiB: discards"
            try:
                self.start({vmm: lambda: cmd})
                if vmm in self.no_guest:
                    raise Missing(self.no_guest[vmm])
                for r in range(self.count_rounds):
                    self.say(f"balloon: {vmm}, round {r + 1}")
                    self.keep(what, vmm, inflate(vmm, path)["discards"])
            except (Missing, OSError, ValueError) as e:
                self.say(f"balloon: {vmm} FAILED: {e}")
                self.keep(what, vmm, str(e))
            self.end()

    # --- devices that another process serves ------------------------------------------------------
    def storage_daemon(self, vmm):
        path = f"/mnt/{vmm}-blk.sock"
        self.serve(path, ["qemu-storage-daemon", "--object", "iothread,id=io0", "--blockdev",
                          f"driver=file,node-name=d,aio=io_uring,filename={self.image(vmm, 'vub')}",
                          "--export", "type=vhost-user-blk,id=e,node-name=d,writable=on,"
                          f"iothread=io0,num-queues=1,addr.type=unix,addr.path={path}"])
        if vmm == "viaduct":
            return ["--device", f"vhost-user-blk,socket={path}"]
        return ["-chardev", f"socket,id=blk,path={path}",
                "-device", "vhost-user-blk-pci,chardev=blk,num-queues=1"]

    def testpmd(self, vmm):
        """Forwards between the guest and a tap interface. It polls, and the host has one processor
        for all: it stands still but for its own measurements."""
        path, name = f"/mnt/{vmm}-net.sock", tap(vmm, VHOST_USER)
        self.pollers[vmm] = self.serve(path, [
            "nice", "-n", "19", "dpdk-testpmd", "--no-huge", "--no-shconf", "--no-telemetry",
            "-m", "256", "--no-pci", "--lcores", "0@0,1@0", "--vdev", f"net_vhost0,iface={path}", "--vdev", f"net_tap0,iface={name}",
            "--", "--forward-mode=io", "--nb-cores=1", "--total-num-mbufs=4096",
            "--no-lsc-interrupt", "--no-rmv-interrupt"])
        for cmd in (f"sysctl -q net.ipv6.conf.{name}.disable_ipv6=1",
                    f"ip addr add {net(vmm, VHOST_USER)}.1/24 dev {name}", f"ip link set {name} up"):
            subprocess.run(cmd.split(), check=True)
        if vmm == "viaduct":
            return ["--device", f"vhost-user-net,socket={path},mac={mac(vmm, VHOST_USER)}"]
        return ["-chardev", f"socket,id=net,path={path}", "-netdev", "vhost-user,id=net,chardev=net",
                "-device", f"virtio-net-pci,netdev=net,mac={mac(vmm, VHOST_USER)},romfile="]

    def serve(self, path, cmd):
        with open(path + ".log", "w") as log:
            proc = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.servers.append(proc)
        end = time.monotonic() + 30 * FACTOR
        while not os.path.exists(path):
            if proc.poll() is not None or time.monotonic() > end:
                raise Missing(f"{cmd[0]} does not serve: {read(path + '.log').split(chr(10))[0]}")
            time.sleep(0.2)
        return proc

    def poll(self, vmm, on):
        if vmm in self.pollers:
            self.pollers[vmm].send_signal(signal.SIGCONT if on else signal.SIGSTOP)

    def vhost_user(self):
        blk = self.wanted("vhost-user-blk")
        cmds = {}
        for vmm in VMMS:
            cmds[vmm] = self.base(vmm, 512, self.a.large, share=True)
            cmds[vmm] += self.storage_daemon(vmm) if blk else []
            try:
                cmds[vmm] += self.testpmd(vmm) if self.wanted(VHOST_USER) else []
            except (Missing, OSError, subprocess.CalledProcessError) as e:
                self.absent[vmm, VHOST_USER] = str(e)
        self.start({vmm: (lambda v=vmm: cmds[v]) for vmm in VMMS})
        for vmm in VMMS:
            self.poll(vmm, False)
        if blk:
            self.disk("vhost-user-blk", "vda", [("randread", 32), ("randwrite", 32)], False)
        if self.wanted(VHOST_USER):
            self.nic(VHOST_USER)
        self.end()

    # --- what is said ----------------------------------------------------------------------------
    def taken(self, what, vmm):
        values = self.rows[what][vmm] if what in self.rows else []
        return sorted(v for v in values if v is not None)

    def median(self, what, vmm="viaduct"):
        values = self.taken(what, vmm)
        return statistics.median(values) if values else None

    def table(self):
        print(f"\n{'median [least..most]':<62}{'viaduct':>26}{'QEMU 10':>28}{'ratio':>9}")
        for row in self.rows.values():
            line = f"{row['what']:<62}"
            for vmm, width in zip(VMMS, (26, 28)):
                line += f"{cell(self.taken(row['what'], vmm)):>{width}}"
            line += f"{row['ratio']:>9.3f}" if row["ratio"] is not None else f"{'-':>9}"
            print(line)
            for vmm, why in row["missing"].items():
                print(f"    {vmm}, {row[vmm].count(None)} of {len(row[vmm])}: {why}")

    def gate(self, name, what, figure, bound, most=True):
        """A line for the gate: @figure has to be at most, or at least, @bound."""
        if figure is None:
            return {"gate": name, "what": what, "verdict": "no figure"}
        holds = figure <= bound if most else figure >= bound
        return {"gate": name, "what": what, "figure": round(figure, 4), "bound": bound,
                "verdict": "holds" if holds else "does NOT hold"}

    def beside(self, name, what, bound, most=True):
        """The same for the ratio of medians to QEMU's, with the spread of the rounds' ratios."""
        row = self.rows.get(what, {})
        got = self.gate(name, f"{what}, to QEMU's", row.get("ratio"), bound, most)
        return {**got, "rounds": row["ratios"]} if row.get("ratios") else got

    def order(self, what, modes, key, most):
        """Whether viaduct's medians are in the order of @modes, best first."""
        figures = [self.median(f"{mode}: {key}") for mode in modes]
        named = ", ".join(f"{m} {'-' if f is None else f'{f:.2f}'}" for m, f in zip(modes, figures))
        got = {"gate": "G8", "what": f"{what}: {named}"}
        if None in figures:
            return {**got, "verdict": "no figure"}
        fine = all(a >= b if most else a <= b for a, b in zip(figures, figures[1:]))
        return {**got, "verdict": "holds" if fine else "does NOT hold"}

    def gates(self):
        got = []
        for way in "reads", "writes":
            deep, one = (f"virtio-blk: 4 KiB {way}, depth {d}" for d in (32, 1))
            for key, bound in ("io_uring_enter", 1 / 8), ("interrupts", 1 / 4):
                got.append(self.gate("G7", f"{deep}: {key} for a request",
                                     self.median(f"{deep}: {key}"), bound))
            got.append(self.gate("G7", f"{one}: system calls for a request",
                                 self.median(f"{one}: system calls"), 2))
            for what in deep, one:
                got.append(self.beside("G7", f"{what}: IOPS", 1.2, most=False))
        got.append({"gate": "G7", "what": "IOPS to the project's own IDE", "verdict": "no IDE yet"})
        for mode, bound in (USER, 1), (VHOST, 0):
            for way in "to", "from":
                key = f"{mode}: system calls for a small packet {way} the host"
                # Two digits: the VMM's main thread may do something else in a thousand packets.
                figure = self.median(key)
                got.append(self.gate("G8", key, figure and round(figure, 2), bound))
        for mode in E1000, USER, VHOST, VHOST_USER, VF:
            for key, most in (("round trip, ms", True), ("to the host, Mb/s", False),
                              ("from the host, Mb/s", False)):
                got.append(self.beside("G8", f"{mode}: {key}", 1, most))
        got.append(self.order("order of round trips, ms", (VF, VHOST, USER, E1000),
                              "round trip, ms", False))
        for way in "to", "from":
            got.append(self.order(f"order of throughput {way} the host, Mb/s",
                                  (VHOST, USER, E1000), f"{way} the host, Mb/s", True))
        got.append(self.beside("G9", f"balloon: {BALLOON_MIB} MiB: discards", 1 / 50))
        return got

    def save(self):
        """Writes what there is so far. The gates."""
        for row in self.rows.values():
            mine, theirs = (self.median(row["what"], vmm) for vmm in VMMS)
            row["ratio"] = round(mine / theirs, 4) if mine is not None and theirs else None
            row["ratios"] = [round(a / b, 3) for a, b in zip(row["viaduct"], row["qemu"])
                             if a is not None and b]
        gates = self.gates()
        with open(self.a.json, "w") as f:
            json.dump({"date": time.strftime("%Y-%m-%d", time.gmtime()),
                       "commit": os.environ.get("VIADUCT_COMMIT", ""), "rounds": self.a.rounds,
                       "rows": list(self.rows.values()), "gates": gates}, f, indent=1)
        return gates

    def run(self):
        self.taps()
        blk, patterns = "virtio-blk", [(rw, d) for d in (32, 1) for rw in ("randread", "randwrite")]
        modes = [mode for mode in (E1000, USER, VHOST, VF) if self.wanted(mode)]
        if modes or self.wanted(blk, "IDE"):
            self.start({"viaduct": self.viaduct_all, "qemu": self.qemu_all})
            if self.wanted(blk):
                self.disk(blk, "vda", patterns, True)
            if self.wanted("IDE"):
                self.disk("IDE", "sda", [("randread", 32)], False)
            for mode in modes:
                self.save()
                self.nic(mode)
            self.end()
        if self.wanted("balloon"):
            self.balloon()
        if self.wanted("vhost-user-blk", VHOST_USER):
            self.vhost_user()
        gates = self.save()
        self.table()
        print()
        for g in gates:
            figures = f": {g['figure']:g}, bound {g['bound']:g}" if "figure" in g else ""
            if len(g.get("rounds", [])) > 1:
                figures += f", rounds {min(g['rounds']):g} to {max(g['rounds']):g}"
            print(f"{g['gate']} {g['verdict']}: {g['what']}{figures}")


def main():
    p = argparse.ArgumentParser()
    for name in ("viaduct", "kernel", "large", "small", "only", "json"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--vfs", nargs=2, required=True)
    p.add_argument("--rounds", type=int, required=True)
    bench = Bench(p.parse_args())
    try:
        bench.run()
    finally:
        bench.end()


if __name__ == "__main__":
    sys.exit(main())
