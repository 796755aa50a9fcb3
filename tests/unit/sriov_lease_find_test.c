// SPDX-License-Identifier: GPL-2.0-or-later
/* Lease records as anybody may find them, and who counts as alive. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/func.h"
#include "sriov/lease.h"
#include "sriov/vf.h"

#define ADDR "0000:01:10.0"
#define RECORD "var/lib/vfctl/leases/" ADDR
#define BOOT "8b1f0e1e-3b35-4d4c-a7f0-1d8c7a2f9c11"
#define HEAD "viaduct-lease 1\naddress " ADDR "\n"
#define ID "id ids=8086:10ca vf=0 pf=8086:10c9\n"

/* A process as proc(5) shows it; fields 4 to 21 are the numbers 4 to 21. */
static void process(struct fake *f, int pid, const char *comm, char run, const char *start)
{
	char path[64], text[256];
	int n = snprintf(text, sizeof(text), "%d (%s) %c", pid, comm, run), i;

	for (i = 4; i < 22; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %d", i);
	snprintf(text + n, sizeof(text) - (size_t)n, " %s 23 24\n", start);
	snprintf(path, sizeof(path), "proc/%d/stat", pid);
	fake_text(f, path, text);
}

static int find(struct fake *f, struct lease *l)
{
	struct pci_addr addr = fake_at(ADDR);

	return lease_find(&f->host, &addr, l);
}

static void place(struct fake *f, const char *boot, const char *ns)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/proc/self/ns/pid", f->base);
	unlink(path);
	fake_text(f, "proc/sys/kernel/random/boot_id", boot);
	fake_link(f, ns, "proc/self/ns/pid");
}

static void test_states(void **state)
{
	struct fake *f = *state;
	char text[LEASE_TEXT_MAX];
	struct lease l;

	place(f, BOOT "\n", "pid:[1]");
	assert_int_equal(find(f, &l), 0);
	fake_text(f, RECORD, HEAD "state held\nowner db\n" ID "driver vfio-pci\noverride vfio-pci\n"
			     "attr mac 0x525400123456\nend\n");
	assert_int_equal(find(f, &l), 1);
	assert_int_equal(l.state, LEASE_HELD);
	assert_string_equal(l.owner, "db");
	assert_string_equal(l.id, "ids=8086:10ca vf=0 pf=8086:10c9");
	assert_string_equal(l.bind.driver, "vfio-pci");
	assert_string_equal(l.bind.override, "vfio-pci");
	assert_int_equal(l.process.pid, 0);
	assert_string_equal(lease_text(&l, text), "leased to db");
	fake_text(f, RECORD, HEAD "state dirty\n" ID "end\n");
	assert_int_equal(find(f, &l), 0);
	process(f, 77, "vfctl", 'S', "5000");
	fake_text(f, RECORD, HEAD "state work\nprocess 77 5000 " BOOT " pid:[1]\n" ID "end\n");
	assert_int_equal(find(f, &l), 1);
	assert_string_equal(lease_text(&l, text), "being cleaned up after its last owner (pid 77)");
	fake_text(f, RECORD, HEAD "state work\nowner db\nprocess 77 5000 " BOOT " pid:[1]\n" ID
			     "end\n");
	assert_int_equal(find(f, &l), 1);
	assert_string_equal(lease_text(&l, text), "being made ready for db (pid 77)");
	fake_remove(f, "proc/77/stat");
	assert_int_equal(find(f, &l), 0);
}

/* The same number, another process; another boot; another namespace. */
static void test_process(void **state)
{
	struct fake *f = *state;
	char text[LEASE_TEXT_MAX];
	struct lease l;

	place(f, BOOT "\n", "pid:[1]");
	fake_text(f, RECORD, HEAD "state held\nowner db\nprocess 77 5000 " BOOT " pid:[1]\n" ID
			     "end\n");
	assert_int_equal(find(f, &l), 0);
	process(f, 77, "a) R 1 (b) S", 'S', "5000");
	assert_int_equal(find(f, &l), 1);
	assert_string_equal(lease_text(&l, text), "leased to db (pid 77)");
	process(f, 77, "db", 'Z', "5000");
	assert_int_equal(find(f, &l), 0);
	process(f, 77, "db", 'S', "5001");
	assert_int_equal(find(f, &l), 0);
	assert_string_equal(l.owner, "db");
	process(f, 77, "db", 'S', "5000");
	place(f, "00000000-0000-0000-0000-000000000000\n", "pid:[1]");
	assert_int_equal(find(f, &l), 0);
	/* A program in a container cannot tell whether pid 77 of the host is alive. */
	fake_remove(f, "proc/77/stat");
	place(f, BOOT "\n", "pid:[2]");
	assert_int_equal(find(f, &l), 1);
	/* Nor can one that finds no start in the file. */
	place(f, BOOT "\n", "pid:[1]");
	fake_text(f, "proc/77/stat", "77 (db) S 1\n");
	assert_int_equal(find(f, &l), 1);
	fake_text(f, "proc/77/stat", "");
	assert_int_equal(find(f, &l), 1);
}

/* Whatever stands there and is no record: held by somebody, and one line says why. */
static void test_unknown(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "it is no lease record, or a part of one" },
		{ "viaduct-lease 1x\nend\n", "it is no lease record, or a part of one" },
		{ "viaduct-lease 2\nend\n", "it is of version 2, and this program knows version 1" },
		{ "viaduct-lease 1\nend\n", "it is not complete" },
		{ HEAD "state held\nowner db\n" ID, "its end is missing" },
		{ HEAD "state held\nowner db\nend\n", "it is not complete" },
		{ HEAD "owner db\n" ID "end\n", "it is not complete" },
		{ HEAD "state held\n" ID "end\n", "it is not complete" },
		{ HEAD "state work\n" ID "end\n", "it is not complete" },
		{ HEAD "state held\nowner db\n" ID "end\nowner x\n",
		  "its line 7, \"owner x\", makes no sense" },
		{ HEAD "state held\nstate dirty\nend\n",
		  "its line 4, \"state dirty\", makes no sense" },
		{ HEAD "state borrowed\nend\n", "its line 3, \"state borrowed\", makes no sense" },
		{ HEAD "state unknown\nend\n", "its line 3, \"state unknown\", makes no sense" },
		{ "viaduct-lease 1\naddress 0000:01:10.1\nend\n",
		  "its line 2, \"address 0000:01:10.1\", makes no sense" },
		{ HEAD "owner ../\x1b[2J\nend\n", "its line 3, \"owner ../?[2J\", makes no sense" },
		{ HEAD "owner\nend\n", "its line 3, \"owner\", makes no sense" },
		{ HEAD "driver a/b\nend\n", "its line 3, \"driver a/b\", makes no sense" },
		{ HEAD "colour red\nend\n", "its line 3, \"colour red\", makes no sense" },
		{ HEAD "attr mac 12\nend\n", "its line 3, \"attr mac 12\", makes no sense" },
		{ HEAD "process 0 1 b n\nend\n", "its line 3, \"process 0 1 b n\", makes no sense" },
		{ HEAD "process -1 1 b n\nend\n",
		  "its line 3, \"process -1 1 b n\", makes no sense" },
		{ HEAD "process 1 1 b\nend\n", "its line 3, \"process 1 1 b\", makes no sense" },
		{ HEAD "process 99999999999 1 b n\nend\n",
		  "its line 3, \"process 99999999999 1 b n\", makes no sense" },
	};
	struct fake *f = *state;
	char text[LEASE_TEXT_MAX], path[400];
	struct lease l;
	char big[5000];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_text(f, RECORD, bad[i].text);
		assert_int_equal(find(f, &l), 1);
		assert_int_equal(l.state, LEASE_UNKNOWN);
		assert_string_equal(l.why, bad[i].why);
		assert_null(strpbrk(lease_text(&l, text), "\n\x1b"));
	}
	memset(big, '\n', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	fake_text(f, RECORD, big);
	assert_int_equal(find(f, &l), 1);
	assert_string_equal(l.why, "it is no text file of a record's size");
	/* Nor a link to somewhere else. */
	fake_remove(f, RECORD);
	fake_link(f, "/dev/zero", RECORD);
	assert_int_equal(find(f, &l), 1);
	assert_int_equal(l.state, LEASE_UNKNOWN);
	if (geteuid() == 0) {
		snprintf(path, sizeof(path), "%s/var/lib/vfctl/leases", f->base);
		assert_int_equal(seteuid(65534), 0);
		assert_int_equal(find(f, &l), -EACCES);
		assert_int_equal(seteuid(0), 0);
	}
}

/* Every record that is cut short, or has one byte changed to nonsense, is held by somebody. */
static void test_torn(void **state)
{
	static const char whole[] = HEAD "state dirty\n" ID "driver igbvf\nend\n";
	struct fake *f = *state;
	char part[sizeof(whole)];
	struct lease l;
	size_t i;

	fake_text(f, RECORD, whole);
	assert_int_equal(find(f, &l), 0);
	for (i = 0; i + 2 < sizeof(whole); i++) {
		memcpy(part, whole, sizeof(whole));
		part[i] = '\0';
		fake_text(f, RECORD, part);
		assert_int_equal(find(f, &l), 1);
		assert_int_equal(l.state, LEASE_UNKNOWN);
	}
}

static void test_id(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at("0000:01:00.0"), vf, none = fake_at("0000:77:00.0");
	char id[LEASE_ID_MAX];

	assert_int_equal(vf_create(&f->host, &pf, 3, "vfio-pci", 0, NULL, NULL), 0);
	assert_int_equal(func_vf_addr(&f->host, &pf, 2, &vf), 0);
	assert_int_equal(lease_id(&f->host, &none, id), -ENODEV);
	assert_int_equal(lease_id(&f->host, &pf, id), 0);
	assert_string_equal(id, "ids=8086:10c9");
	assert_int_equal(lease_id(&f->host, &vf, id), 0);
	assert_string_equal(id, "ids=8086:10ca vf=2 pf=8086:10c9");
	fake_text(f, "sys/class/net/eth0/address", "52:54:00:00:00:01\n");
	fake_text(f, "sys/class/net/eth0/addr_assign_type", "3\n");
	assert_int_equal(lease_id(&f->host, &vf, id), 0);
	assert_string_equal(id, "ids=8086:10ca vf=2 pf=8086:10c9");
	fake_text(f, "sys/class/net/eth0/addr_assign_type", "0\n");
	assert_int_equal(lease_id(&f->host, &vf, id), 0);
	assert_string_equal(id, "ids=8086:10ca vf=2 pf=8086:10c9 mac=52:54:00:00:00:01");

	assert_true(lease_id_match("ids=1:2 vf=3", "ids=1:2 vf=3"));
	assert_true(lease_id_match("ids=1:2 vf=3 serial=9", "ids=1:2 mac=1 vf=3"));
	assert_false(lease_id_match("ids=1:2 vf=3", "ids=1:2 vf=33"));
	assert_false(lease_id_match("ids=1:2 vf=33", "ids=1:2 vf=3"));
	assert_false(lease_id_match("ids=1:2 mac=1", "mac=2 ids=1:2"));
	assert_false(lease_id_match("nonsense", "ids=1:2"));
}

static void config_write(struct fake *f, const uint8_t *bytes, size_t len)
{
	char path[400];
	FILE *file;

	snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/0000:01:00.0/config", f->base);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

static void test_serial(void **state)
{
	static const uint8_t dsn[] = { 0x03, 0, 1, 0, 0x56, 0x34, 0x12, 0xff, 0xff, 0x21, 0x1b, 0 };
	struct fake *f = *state;
	struct pci_addr pf = fake_at("0000:01:00.0");
	char serial[FUNC_SERIAL_MAX];
	uint8_t space[4096] = { 0 };

	assert_int_equal(func_serial(&f->host, &pf, serial), -ENOENT);
	config_write(f, space, 64);
	assert_int_equal(func_serial(&f->host, &pf, serial), -ENOENT);
	config_write(f, space, sizeof(space));
	assert_int_equal(func_serial(&f->host, &pf, serial), -ENOENT);
	/* AER at 0x100, which goes on to 0x140. */
	put_le32(space + 0x100, 0x14010001);
	memcpy(space + 0x140, dsn, sizeof(dsn));
	config_write(f, space, sizeof(space));
	assert_int_equal(func_serial(&f->host, &pf, serial), 0);
	assert_string_equal(serial, "00-1b-21-ff-ff-12-34-56");
	/* A list that bites its tail, one that leads out, and a card that is dead. */
	put_le32(space + 0x100, 0x10010001);
	config_write(f, space, sizeof(space));
	assert_int_equal(func_serial(&f->host, &pf, serial), -ENOENT);
	put_le32(space + 0x100, 0xffc10001);
	put_le32(space + 0xffc, 0x00010003);
	config_write(f, space, sizeof(space));
	assert_int_not_equal(func_serial(&f->host, &pf, serial), 0);
	memset(space, 0xff, sizeof(space));
	config_write(f, space, sizeof(space));
	assert_int_equal(func_serial(&f->host, &pf, serial), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_states),  fake_lab_test(test_process),
		fake_lab_test(test_unknown), fake_lab_test(test_torn),
		fake_lab_test(test_id),	     fake_lab_test(test_serial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
