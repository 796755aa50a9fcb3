#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts and ratios of viaduct and QEMU, taken in turn on one host: gates G1 to G4 and G6.

System calls come from strace, exits from the kernel's kvm_userspace_exit, memory from smaps. No
absolute time is reported as a result: wall times are ratios of medians taken in turn.
"""
import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

TRACING = "/sys/kernel/tracing/"
EVENT = TRACING + "events/kvm/kvm_userspace_exit/"
CMDLINE = "console=ttyS0 quiet panic=-1 mitigations=off"
RAM_MIB = 128
VFIO_IOMMU_MAP_DMA = 0x3B71
VFIO_IOMMU_UNMAP_DMA = 0x3B72
# What enabling a vector takes: the ioctl's function and number
VECTOR_CALLS = {"routing commits": ("vm", 0x4008AE6A), "irqfd calls": ("vm", 0x4020AE76),
                "SET_IRQS": ("dev", 0x3B6E)}
SIGNAL_MSI = ("vm", 0x4020AEA5)


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


def cell(values):
    """The median of sorted @values, and their spread where they differ."""
    if not values:
        return "-"
    mid = statistics.median(values)
    fmt = "{:.2f}" if isinstance(values[0], float) else "{:.0f}"
    text = fmt.format(mid)
    if values[0] != values[-1]:
        text += f" [{fmt.format(values[0])}..{fmt.format(values[-1])}]"
    return text


class Bench:
    def __init__(self, args):
        self.a = args
        self.rows = []
        self.failures = 0

    def command(self, vmm, initrd, vf, memory=RAM_MIB):
        a = self.a
        host = a.vf if vf is True else vf  # or another function's address
        if vmm == "viaduct":
            cmd = [a.viaduct, "run", "--kernel", a.kernel, "--initrd", initrd, "--append", CMDLINE,
                   "--memory", f"{memory}M", "--cpus", "1"]
            return cmd + (["--device", f"vfio-pci,host={host}"] if host else [])
        machine = {"microvm": "microvm,pcie=on" if vf else "microvm", "q35": "q35"}[vmm]
        cmd = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-M", machine, "-m",
               str(memory), "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none",
               "-no-reboot", "-serial", "stdio", "-kernel", a.kernel, "-initrd", initrd,
               "-append", CMDLINE]
        return cmd + (["-device", f"vfio-pci,host={host}"] if host else [])

    def start(self, cmd, log):
        return subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=open(log, "wb"),
                                stderr=subprocess.STDOUT)

    def wait_for(self, proc, log, word, seconds=90):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if word in read(log):
                return time.clock_gettime(time.CLOCK_BOOTTIME)
            if proc.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"{proc.args[0]}: no {word} on the console: {read(log)[-800:]}")

    def end(self, proc):
        proc.kill()
        proc.wait()

    # G1: system calls to the first KVM_RUN
    def system_calls(self, vmm, vf):
        trace = "/tmp/strace"
        if os.path.exists(trace):
            os.unlink(trace)
        proc = subprocess.Popen(["strace", "-f", "-qq", "-o", trace] +
                                self.command(vmm, self.a.boot, vf), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not (os.path.exists(trace) and "KVM_RUN" in read(trace)):
            if proc.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{vmm}: no KVM_RUN under strace")
            time.sleep(0.1)
        children = subprocess.run(["pgrep", "-P", str(proc.pid)], capture_output=True, text=True)
        for pid in children.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        proc.wait()
        calls = ioctls = 0
        for line in read(trace).splitlines():
            if "KVM_RUN" in line:
                break
            if "resumed>" in line or not re.match(r"^\d+ +\w+\(", line):
                continue
            calls += 1
            ioctls += " ioctl(" in line
        return {"system calls": calls, "ioctls": ioctls}

    # G4: DMA maps from the start to init, counted by a probe on the kernel's own ioctl
    def dma_maps(self, vmm):
        log, probe = "/tmp/log", TRACING + "events/kprobes/dma/"
        write(TRACING + "kprobe_events", "p:dma vfio_iommu_type1_ioctl cmd=%si:u32")
        write(probe + "trigger", "hist:keys=cmd")
        proc = self.start(self.command(vmm, self.a.boot, True), log)
        try:
            self.wait_for(proc, log, "GUEST-INIT")
            counts = {int(cmd): int(n) for cmd, n in
                      re.findall(r"cmd:\s*(\d+)\s*}\s*hitcount:\s*(\d+)", read(probe + "hist"))}
        finally:
            self.end(proc)
            write(probe + "trigger", "!hist:keys=cmd")
            write(TRACING + "kprobe_events", "")
        return {"DMA maps": counts.get(VFIO_IOMMU_MAP_DMA, 0),
                "DMA unmaps in boot": counts.get(VFIO_IOMMU_UNMAP_DMA, 0)}

    # G3: calls for interrupts while a guest takes 64 vectors, one after the other
    def vectors(self, vmm):
        log, probes = "/tmp/log", TRACING + "events/kprobes/"
        write(TRACING + "kprobe_events", "p:vm kvm_vm_ioctl cmd=%si:u32\n"
              "p:dev vfio_pci_core_ioctl cmd=%si:u32")
        for probe in "vm", "dev":
            write(probes + probe + "/trigger", "hist:keys=cmd")

        def count(probe, cmd):
            m = re.search(rf"cmd:\s*{cmd}\s*}}\s*hitcount:\s*(\d+)", read(probes + probe + "/hist"))
            return int(m.group(1)) if m else 0
        calls = dict(VECTOR_CALLS, **{"messages by KVM_SIGNAL_MSI": SIGNAL_MSI})
        proc = self.start(self.command(vmm, self.a.vectors, self.a.nvme, 512), log)
        try:
            self.wait_for(proc, log, "VECTORS-BEGIN", 120)
            before = {name: count(*call) for name, call in calls.items()}
            self.wait_for(proc, log, "VECTORS-UP", 60)
            time.sleep(0.5)
            got = {name: count(*call) - before[name] for name, call in calls.items()}
            got["interrupts of the host"] = read("/proc/interrupts").count("vfio-msix")
        finally:
            self.end(proc)
            for probe in "vm", "dev":
                write(probes + probe + "/trigger", "!hist:keys=cmd")
            write(TRACING + "kprobe_events", "")
        got["calls in all"] = sum(got[name] for name in VECTOR_CALLS)
        return got

    # memory beside guest RAM, in KiB
    @staticmethod
    def memory(pid):
        rss = private = 0
        size = 0
        for line in read(f"/proc/{pid}/smaps").splitlines():
            m = re.match(r"^[0-9a-f]+-[0-9a-f]+ ", line)
            if m:
                lo, hi = (int(x, 16) for x in line.split()[0].split("-"))
                # The banks of RAM, or what QEMU cuts out of the same block.
                size = 0 if hi - lo >= (RAM_MIB << 20) // 2 or "guest-ram" in line or \
                    "vfio" in line else 1
            elif size and line.startswith("Rss:"):
                rss += int(line.split()[1])
            elif size and line.startswith(("Private_Clean:", "Private_Dirty:")):
                private += int(line.split()[1])
        return {"resident KiB": rss, "private KiB": private}

    # G2: exits and time from the first exit to init
    def boot(self, vmm, vf):
        log = "/tmp/log"
        write(TRACING + "trace_clock", "boot")
        write(TRACING + "trace_options", "nooverwrite")
        write(TRACING + "trace", "")
        write(EVENT + "trigger", "hist:keys=reason")
        write(EVENT + "enable", "1")
        proc = self.start(self.command(vmm, self.a.boot, vf), log)
        try:
            done = self.wait_for(proc, log, "GUEST-INIT")
            time.sleep(0.5)
            exits = self.exits()
            memory = self.memory(proc.pid)
        finally:
            write(EVENT + "enable", "0")
            write(EVENT + "trigger", "!hist:keys=reason")
            self.end(proc)
        first = None
        for line in read(TRACING + "trace").splitlines():
            m = re.search(r"\s(\d+\.\d+): kvm_userspace_exit", line)
            if m:
                first = float(m.group(1))
                break
        return {"exits to init": exits, "seconds to init": done - first, **memory}

    @staticmethod
    def exits():
        return sum(int(n) for n in re.findall(r"hitcount:\s*(\d+)", read(EVENT + "hist")))

    # G6: exits and context switches for 1000 packets
    def traffic(self, vmm):
        log = "/tmp/log"
        proc = self.start(self.command(vmm, self.a.traffic, True, 512), log)
        samples = []
        try:
            self.wait_for(proc, log, "QUIET-BEGIN", 120)
            time.sleep(1.5)
            write(EVENT + "trigger", "hist:keys=reason")
            while "QUIET-END" not in read(log):
                samples.append((self.exits(), self.switches(proc.pid)))
                time.sleep(0.2)
                if proc.poll() is not None:
                    raise RuntimeError(f"{vmm}: ended while packets passed")
            write(EVENT + "trigger", "!hist:keys=reason")
            self.wait_for(proc, log, "packets received", 30)
        finally:
            self.end(proc)
        first, last = samples[0], samples[-7]
        got = int(re.search(r"(\d+) packets received", read(log)).group(1))
        return {"answered": got, "exits per 1000 packets": last[0] - first[0],
                "switches of threads but vCPUs": last[1] - first[1]}

    @staticmethod
    def switches(pid):
        total = 0
        for tid in os.listdir(f"/proc/{pid}/task"):
            try:
                name = read(f"/proc/{pid}/task/{tid}/comm").strip()
                if name.startswith("vcpu") or "CPU " in name:
                    continue
                total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)",
                                       read(f"/proc/{pid}/task/{tid}/status"), re.M).group(1))
            except FileNotFoundError:
                pass
        return total

    def take(self, what, vmms, fn, rounds):
        """Runs fn for each VMM in turn, as often as said; keeps every value."""
        got = {v: {} for v in vmms}
        for r in range(rounds):
            for v in vmms:
                print(f"# {what}: round {r + 1} of {rounds}, {v}", file=sys.stderr, flush=True)
                try:
                    for key, value in fn(v).items():
                        got[v].setdefault(key, []).append(value)
                except (RuntimeError, OSError, AttributeError) as e:
                    print(f"# {what}: {v} FAILED: {e}", file=sys.stderr, flush=True)
                    self.failures += 1
        for key in got[vmms[0]]:
            self.rows.append({"what": f"{what}: {key}",
                              **{v: sorted(got[v][key]) for v in vmms if key in got[v]}})

    def table(self):
        vmms = ("viaduct", "microvm", "q35")
        print(f"\n{'median [least..most]':<48}" + "".join(f"{v:>24}" for v in vmms) +
              f"{'to microvm':>12}{'to q35':>9}")
        for row in self.rows:
            line = f"{row['what']:<48}" + "".join(f"{cell(row.get(v)):>24}" for v in vmms)
            mine = statistics.median(row["viaduct"])
            for v, width in (("microvm", 12), ("q35", 9)):
                theirs = statistics.median(row[v]) if row.get(v) else 0
                row[f"ratio to {v}"] = round(mine / theirs, 4) if theirs else None
                line += f"{mine / theirs:>{width}.3f}" if theirs else f"{'-':>{width}}"
            print(line)

    def run(self):
        all_three, n = ["viaduct", "microvm", "q35"], self.a.rounds
        self.take("start, no device", all_three, lambda v: self.system_calls(v, False), 1)
        self.take("start, a VF", all_three, lambda v: self.system_calls(v, True), 1)
        self.take("boot, no device", all_three, lambda v: self.boot(v, False), n)
        self.take("boot, a VF", all_three, lambda v: self.boot(v, True), n)
        self.take("a VF", ["viaduct", "q35"], self.dma_maps, 1)
        if self.a.vectors:
            self.take("64 vectors", ["viaduct", "q35"], self.vectors, 1)
        self.take("a VF", ["viaduct", "q35"], self.traffic, max(1, n // 2))
        self.table()
        with open(self.a.json, "w") as f:
            json.dump({"rounds": n, "guest": {"vcpus": 1, "ram_mib": RAM_MIB, "cmdline": CMDLINE},
                       "failures": self.failures, "rows": self.rows}, f, indent=1)
        return 1 if self.failures else 0


def main():
    p = argparse.ArgumentParser()
    for name in ("viaduct", "kernel", "boot", "traffic", "vectors", "vf", "nvme", "json"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--rounds", type=int, required=True)
    return Bench(p.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
