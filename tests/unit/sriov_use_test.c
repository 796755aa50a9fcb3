// SPDX-License-Identifier: GPL-2.0-or-later
/* The look for use as a whole: kinds, VFIO and groups, VFs, the console. */
#include "use_rig.h"

static void test_kinds(void **state)
{
	char text[USE_KINDS_TEXT_MAX];
	struct err err = { .code = 0 };
	unsigned int mask = 1, kind;

	(void)state;
	assert_int_equal(use_kinds_parse("mount", &mask, &err), 0);
	assert_int_equal(mask, USE_MOUNT);
	assert_int_equal(use_kinds_parse("route,unknown,route", &mask, &err), 0);
	assert_int_equal(mask, USE_ROUTE | USE_UNKNOWN);
	assert_string_equal(use_kinds_text(mask, text), "route,unknown");
	assert_string_equal(use_kinds_text(0, text), "");
	assert_int_equal(use_kinds_parse("", &mask, &err), -EINVAL);
	assert_int_equal(use_kinds_parse("mount,", &mask, &err), -EINVAL);
	assert_int_equal(use_kinds_parse("mounts", &mask, &err), -EINVAL);
	assert_int_equal(use_kinds_parse("all", &mask, &err), -EINVAL);
	/* All of them fit, and all have a name. */
	assert_int_equal(use_kinds_parse(use_kinds_text(USE_KINDS, text), &mask, &err), 0);
	assert_int_equal(mask, USE_KINDS);
	for (kind = 1; kind & USE_KINDS; kind <<= 1)
		assert_non_null(use_kind_name(kind));
	assert_null(use_kind_name(kind));
}

static void test_nothing(void **state)
{
	struct fake *f = *state;

	expect(f, IGB, NULL);
	expect(f, NVME, NULL);
	expect(f, E1000, NULL);
	expect(f, "0000:00:00.0", NULL);
}

static void test_no_such_function(void **state)
{
	struct pci_addr addr = fake_at("0000:0f:00.0");
	struct err err = { .code = 0 };
	struct fake *f = *state;

	assert_int_equal(use_check(&f->host, NULL, &addr, USE_KINDS, NULL, &err), -ENODEV);
	assert_string_equal(err.msg, "0000:0f:00.0: no such function");
}

static void test_processes(void **state)
{
	struct fake *f = *state;

	fake_char(f, IGB, "card7", "226:7", "dri/card7");
	expect(f, IGB, NULL);
	fake_process(f, 103, "Xorg", "dri/card7");
	expect(f, IGB, ": /dev/dri/card7 is open in Xorg (pid 103); stop that process or use "
		       "--force=process");
}

static void test_console(void **state)
{
	struct fake *f = *state;

	fake_text(f, DEVICES IGB "/graphics/fb0/name", "efifb\n");
	expect(f, IGB, NULL);
	fake_text(f, "sys/class/vtconsole/vtcon0/name", "(S) dummy device\n");
	fake_text(f, "sys/class/vtconsole/vtcon0/bind", "1\n");
	fake_text(f, "sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
	fake_text(f, "sys/class/vtconsole/vtcon1/bind", "0\n");
	expect(f, IGB, NULL);
	fake_text(f, "sys/class/vtconsole/vtcon1/bind", "1\n");
	expect(f, IGB, ": its frame buffer fb0 shows the console; write 0 to the bind file of its "
		       "/sys/class/vtconsole or use --force=console");
	expect_forced(f, IGB, USE_CONSOLE, NULL);
}

/* The firmware's frame buffer hangs below no function, or below its card, which has no driver. */
static void test_console_of_firmware(void **state)
{
	struct fake *f = *state;

	fake_text(f, "sys/class/vtconsole/vtcon0/name", "(S) VGA+\n");
	fake_text(f, "sys/class/vtconsole/vtcon0/bind", "1\n");
	expect(f, IGB, NULL);
	fake_text(f, DEVICES IGB "/boot_vga", "1\n");
	fake_text(f, DEVICES E1000 "/boot_vga", "0\n");
	expect(f, IGB, ": the console is shown by its VGA; let another card show it or use "
		       "--force=console");
	expect(f, E1000, NULL);
	fake_text(f, "sys/class/vtconsole/vtcon0/name", "(M) frame buffer device\n");
	expect(f, IGB, NULL);
	fake_link(f, "../../devices/platform/efi-framebuffer.0/graphics/fb0", "sys/class/graphics/fb0");
	fake_text(f, "sys/devices/platform/efi-framebuffer.0/graphics/fb0/name", "efifb\n");
	expect(f, IGB, ": the firmware's frame buffer fb0, which shows the console, is on it; write 0 "
		       "to the bind file of its /sys/class/vtconsole or use --force=console");
	expect(f, E1000, NULL);
	fake_remove(f, "sys/class/graphics/fb0");
	fake_link(f, "../../devices/pci0000:00/" E1000 "/simple-framebuffer.0/graphics/fb0",
		  "sys/class/graphics/fb0");
	fake_text(f, DEVICES E1000 "/simple-framebuffer.0/graphics/fb0/name", "simple\n");
	expect(f, IGB, NULL);
	expect_forced(f, E1000, USE_GROUP, ": its frame buffer fb0 shows the console; write 0 to the "
		      "bind file of its /sys/class/vtconsole or use --force=console");
}

static void test_serial_console(void **state)
{
	struct fake *f = *state;

	fake_text(f, "sys/class/tty/console/active", "tty0 ttyS4 ../x\n");
	fake_link(f, "../../devices/virtual/tty/tty0", "sys/class/tty/tty0");
	expect(f, IGB, NULL);
	fake_link(f, "../../devices/pci0000:00/" IGB "/tty/ttyS4", "sys/class/tty/ttyS4");
	expect(f, IGB, ": its serial port ttyS4 is a console of the kernel; start the kernel with "
		       "another console= or use --force=console");
}

static void test_vfs(void **state)
{
	struct pci_addr pf = fake_at(IGB), vf = fake_at("0000:01:10.2");
	struct use_found found;
	struct err err = { .code = 0 };
	struct fake *f = *state;

	assert_int_equal(vf_create(&f->host, &pf, 2, "vfio-pci", 0, NULL, NULL), 0);
	expect(f, IGB, ": its 2 VFs would vanish with its driver igb; run: vfctl destroy " IGB
		       " or use --force=vfs");
	fake_process(f, 200, "viaduct", "vfio/21");
	expect(f, IGB, ": its 2 VFs would vanish with its driver igb (run: vfctl destroy " IGB
		       "); its VF 0000:01:10.2 is in use: group 21 is open in viaduct (pid 200) (stop "
		       "that process); or use --force=vfio,vfs");
	expect_forced(f, IGB, USE_VFS, ": its VF 0000:01:10.2 is in use: group 21 is open in viaduct "
				       "(pid 200); stop that process or use --force=vfio");
	assert_int_equal(use_check_vfs(&f->host, NULL, &pf, 0, &found, &err), -EBUSY);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.kinds, USE_VFIO);
	assert_true(pci_addr_eq(&found.ev[0].addr, &vf));
	fake_remove(f, "proc/200");
	/* Opened through the device's own node, with no group. */
	fake_char(f, "0000:01:10.2", "vfio0", "511:0", "vfio/devices/vfio0");
	fake_process(f, 201, "qemu", "vfio/devices/vfio0");
	expect_forced(f, IGB, USE_VFS, ": its VF 0000:01:10.2 is in use: /dev/vfio/devices/vfio0 is "
				       "open in qemu (pid 201); stop that process or use --force=vfio");
	fake_remove(f, "proc/201");
	/* A group that can be opened is open in no process, seen or not. */
	fake_text(f, "proc/77/fd", "no folder");
	fake_busy(f, "vfio/20");
	assert_int_equal(use_check(&f->host, NULL, &vf, USE_UNKNOWN, NULL, &err), 0);
	fake_remove(f, DEVICES "0000:01:10.2/misc");
	fake_remove(f, "sys/dev/char/511:0");
	assert_int_equal(use_check(&f->host, NULL, &vf, 0, NULL, &err), 0);
	vf = fake_at("0000:01:10.0");
	assert_int_equal(use_check(&f->host, NULL, &vf, 0, NULL, &err), -EBUSY);
	assert_string_equal(err.msg, "0000:01:10.0: group 20 is open in another process; stop what "
				     "uses it or use --force=vfio");
}

/* Whatever is found: one line, the list's beginning, how many more there are, and all kinds. */
static void test_many(void **state)
{
	struct pci_addr pf = fake_at(IGB);
	struct use_found found;
	struct err err = { .code = 0 };
	struct fake *f = *state;
	char node[32];
	unsigned int i;

	assert_int_equal(vf_create(&f->host, &pf, 7, "vfio-pci", 0, NULL, NULL), 0);
	for (i = 0; i < 7; i++) {
		snprintf(node, sizeof(node), "vfio/%u", 20 + i);
		fake_process(f, (int)(300 + i), "a-guest-with-a-name", node);
	}
	fake_netdev(f, "0000:01:10.0", "vf0", 1, "2001:db8::1");
	for (i = 0; i < 16; i++) {
		snprintf(node, sizeof(node), "vf0.%u", i);
		fake_upper(f, node, 1, "vf0", false);
	}
	assert_int_equal(use_check(&f->host, NULL, &pf, 0, &found, &err), -EBUSY);
	assert_int_equal(found.count, USE_FOUND_MAX);
	assert_int_equal(found.count + found.left_out, 1 + 7 + 1 + 16);
	assert_int_equal(found.kinds, USE_VFS | USE_VFIO | USE_ADDRESS | USE_UPPER);
	assert_true(strlen(err.msg) < ERR_MSG_MAX - 100);
	assert_null(strchr(err.msg, '\n'));
	assert_non_null(strstr(err.msg, " more; or use --force=address,upper,vfio,vfs"));
	assert_int_equal(use_check(&f->host, NULL, &pf, found.kinds, &found, &err), 0);
}

/* --- companions of a group ------------------------------------------------------------------- */

static void test_companion_in_use(void **state)
{
	struct pci_addr addr = fake_at(RTL);
	struct fake *f = *state;

	/* The group has one owner: while that is a guest, no function of it can go to the host. */
	assert_int_equal(func_bind(&f->host, &addr, 1, "vfio-pci", USE_GROUP, NULL, NULL), 0);
	expect_forced(f, E1000, USE_GROUP, NULL);
	fake_process(f, 300, "viaduct", "vfio/15");
	expect_look(f, RTL, 0, ": group 15 is open in viaduct (pid 300); stop that process or use "
		       "--force=vfio");
	expect(f, E1000, ": group 15 is open in viaduct (pid 300); stop that process or use "
			 "--force=group");
	expect_forced(f, E1000, USE_GROUP, NULL);
	fake_remove(f, "proc/300");
	fake_char(f, RTL, "vfio0", "511:0", "vfio/devices/vfio0");
	fake_process(f, 301, "qemu", "vfio/devices/vfio0");
	expect(f, E1000, ": " RTL " of its group 15 is open in qemu (pid 301); stop that process or "
			 "use --force=group");
	expect_look(f, RTL, 0, ": /dev/vfio/devices/vfio0 is open in qemu (pid 301); stop that "
			   "process or use --force=vfio");
}

static void test_companion_on_host_driver(void **state)
{
	struct pci_addr both[] = { fake_at(RTL), fake_at(E1000) };
	struct err err = { .code = 0 };
	struct fake *f = *state;
	char *before = fake_snapshot(f), *after;

	assert_int_equal(func_bind(&f->host, both, 1, "vfio-pci", 0, NULL, &err), -EBUSY);
	assert_string_equal(err.msg, RTL ": in its group 15 " E1000 " is bound to e1000, so no guest "
			    "could have it; run: vfctl bind " E1000 " " RTL " vfio-pci, or use "
			    "--force=group");
	assert_int_equal(func_bind(&f->host, both, 1, "vfio-pci", USE_KINDS & ~USE_GROUP, NULL,
				   NULL), -EBUSY);
	after = fake_snapshot(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	/* For a driver of the host it does not matter, and all together they are a guest's. */
	assert_int_equal(func_bind(&f->host, both, 1, "none", 0, NULL, &err), 0);
	assert_int_equal(func_bind(&f->host, both, 1, "8139cp", 0, NULL, &err), 0);
	assert_int_equal(func_bind(&f->host, both, 2, "vfio-pci", 0, NULL, &err), 0);
	/* Nothing to do is nothing to refuse. */
	assert_int_equal(func_bind(&f->host, &both[1], 1, "e1000", 0, NULL, &err), 0);
	assert_int_equal(func_bind(&f->host, both, 1, "vfio-pci", 0, NULL, &err), 0);
	assert_int_equal(func_bind(&f->host, both, 2, "vfio-pci", USE_GROUP, NULL, &err), 0);
}

#define LEASE "var/lib/vfctl/leases/" IGB
#define LEASED "viaduct-lease 1\naddress " IGB "\nstate held\nowner db\n"
#define ID "id ids=8086:10c9\nend\n"

static void test_lease(void **state)
{
	struct fake *f = *state;

	fake_text(f, LEASE, LEASED ID);
	expect(f, IGB, ": it is leased to db; run: vfctl release " IGB " or use --force=lease");
	expect_forced(f, IGB, USE_LEASE, NULL);
	/* Its owner is no more. */
	fake_text(f, LEASE, LEASED "process 77 5000 8b1f0e1e-3b35-4d4c-a7f0-1d8c7a2f9c11 pid:[1]\n" ID);
	fake_text(f, "proc/sys/kernel/random/boot_id", "8b1f0e1e-3b35-4d4c-a7f0-1d8c7a2f9c11\n");
	fake_link(f, "pid:[1]", "proc/self/ns/pid");
	expect(f, IGB, NULL);
	/* What cannot be understood may say anything. */
	fake_text(f, LEASE, "nonsense\n");
	expect_forced(f, IGB, USE_KINDS & ~USE_LEASE & ~USE_UNKNOWN,
		      ": it is leased to somebody: its record cannot be understood (it is no lease "
		      "record, or a part of one); run: vfctl release " IGB " or use --force=lease");
}

static void test_cannot_look(void **state)
{
	struct pci_addr addr = fake_at(NVME);
	struct err err = { .code = 0 };
	struct fake *f = *state;

	fake_remove(f, "proc/self/mountinfo");
	assert_int_equal(func_bind(&f->host, &addr, 1, "vfio-pci", 0, NULL, &err), -EBUSY);
	assert_int_equal(func_bind(&f->host, &addr, 1, "vfio-pci", USE_UNKNOWN, NULL, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		fake_lab_test(test_nothing),
		fake_lab_test(test_no_such_function),
		fake_lab_test(test_processes),
		fake_lab_test(test_console),
		fake_lab_test(test_console_of_firmware),
		fake_lab_test(test_serial_console),
		fake_lab_test(test_vfs),
		fake_lab_test(test_many),
		fake_lab_test(test_companion_in_use),
		fake_lab_test(test_companion_on_host_driver),
		fake_lab_test(test_lease),
		fake_lab_test(test_cannot_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
