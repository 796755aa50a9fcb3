// SPDX-License-Identifier: GPL-2.0-or-later
/* vfctl export: the three documents, held against the rules of who reads them; doctor and --owner as
 * commands. */
#include <ctype.h>
#include <errno.h>

#include "vfctl_rig.h"

#define VF(n) "0000:01:1" n
#define POOLS "run/viaduct/pools/"

static struct json_object *item(struct json_object *list, size_t i)
{
	assert_true(i < json_object_array_length(list));
	return json_object_array_get_idx(list, i);
}

static const char *item_text(struct json_object *list, size_t i)
{
	return json_object_get_string(item(list, i));
}

static struct json_object *export_json(struct fake *f, const char *const *args)
{
	struct json_object *o;
	struct run r;

	run_to(f, &r, NULL, args);
	if (r.code)
		print_message("%s", r.err);
	assert_int_equal(r.code, 0);
	assert_string_equal(r.err, "");
	o = json_tokener_parse(r.out);
	assert_non_null(o);
	run_done(&r);
	return o;
}

#define EXPORT(f, ...) export_json(f, (const char *const[]){ "export", __VA_ARGS__, NULL })

/* --- CDI -------------------------------------------------------------------------------------- */

/* Every key is one that CDI 0.6 knows: its readers refuse a document with any other. */
static void only_keys(struct json_object *o, const char *const *keys)
{
	json_object_object_foreach(o, key, value)
	{
		size_t i;

		(void)value;
		for (i = 0; keys[i] && strcmp(keys[i], key) != 0; i++)
			;
		if (!keys[i])
			print_message("key %s\n", key);
		assert_non_null(keys[i]);
	}
}

static void check_nodes(struct json_object *edits, const char *const *paths)
{
	static const char *const edit_keys[] = { "env", "deviceNodes", "mounts", "hooks", NULL };
	static const char *const node_keys[] = { "path", "hostPath", "type", "major", "minor",
						 "fileMode", "permissions", "uid", "gid", NULL };
	struct json_object *nodes = member(edits, "deviceNodes");
	size_t i;

	only_keys(edits, edit_keys);
	for (i = 0; paths[i]; i++) {
		only_keys(item(nodes, i), node_keys);
		assert_string_equal(text_of(item(nodes, i), "path"), paths[i]);
		assert_string_equal(text_of(item(nodes, i), "type"), "c");
		assert_string_equal(text_of(item(nodes, i), "permissions"), "rw");
	}
	assert_int_equal(json_object_array_length(nodes), i);
}

static void check_cdi(struct json_object *o)
{
	static const char *const top[] = { "cdiVersion", "kind", "annotations", "devices",
					   "containerEdits", NULL };
	static const char *const device[] = { "name", "annotations", "containerEdits", NULL };
	struct json_object *devices = member(o, "devices");
	size_t i, k;

	only_keys(o, top);
	assert_string_equal(text_of(o, "cdiVersion"), "0.6.0");
	assert_true(json_object_array_length(devices) > 0);
	for (i = 0; i < json_object_array_length(devices); i++) {
		const char *name = text_of(item(devices, i), "name");

		only_keys(item(devices, i), device);
		assert_true(isalnum((unsigned char)name[0]));
		assert_int_equal(strspn(name, "0123456789abcdef:."), strlen(name));
		for (k = 0; k < i; k++)
			assert_string_not_equal(name, text_of(item(devices, k), "name"));
	}
}

static void test_cdi(void **state)
{
	struct fake *f = *state;
	struct json_object *o, *devices;

	make_vfs(f);
	o = EXPORT(f, "--format=cdi");
	check_cdi(o);
	assert_string_equal(text_of(o, "kind"), "viaduct.local/vfio");
	devices = member(o, "devices");
	assert_int_equal(json_object_array_length(devices), 7);
	assert_string_equal(text_of(item(devices, 2), "name"), VF("0.4"));
	assert_string_equal(text_of(member(item(devices, 2), "annotations"), "viaduct.local/pf"),
			    "eth0");
	check_nodes(member(item(devices, 2), "containerEdits"),
		    (const char *const[]){ "/dev/vfio/22", NULL });
	check_nodes(member(o, "containerEdits"), (const char *const[]){ "/dev/vfio/vfio", NULL });
	json_object_put(o);
}

static void test_cdi_pool_and_cdev(void **state)
{
	struct fake *f = *state;
	struct json_object *o, *devices;

	make_vfs(f);
	fake_text(f, POOLS "tenants", "# two\n" VF("0.2") "\n" VF("0.0") "\n");
	fake_text(f, "sys/devices/pci0000:00/" VF("0.2") "/vfio-dev/vfio5/dev", "511:0\n");
	fake_text(f, "dev/vfio/devices/vfio5", "");
	o = EXPORT(f, "--format", "cdi", "tenants");
	check_cdi(o);
	assert_string_equal(text_of(o, "kind"), "viaduct.local/tenants");
	devices = member(o, "devices");
	assert_int_equal(json_object_array_length(devices), 2);
	assert_string_equal(text_of(item(devices, 0), "name"), VF("0.0"));
	assert_string_equal(text_of(member(item(devices, 0), "annotations"), "viaduct.local/pool"),
			    "tenants");
	check_nodes(member(item(devices, 1), "containerEdits"),
		    (const char *const[]){ "/dev/vfio/21", "/dev/vfio/devices/vfio5", NULL });
	check_nodes(member(o, "containerEdits"),
		    (const char *const[]){ "/dev/vfio/vfio", "/dev/iommu", NULL });
	json_object_put(o);
	/* With more than the pool it is no pool's document; a function twice is one device. */
	o = EXPORT(f, "--format", "cdi", "tenants", "eth0/vf1", "eth0/vf5");
	check_cdi(o);
	assert_string_equal(text_of(o, "kind"), "viaduct.local/vfio");
	assert_int_equal(json_object_array_length(member(o, "devices")), 3);
	json_object_put(o);
}

/* --- Kubernetes ------------------------------------------------------------------------------- */

static void test_plugin(void **state)
{
	struct fake *f = *state;
	struct json_object *o, *list, *s;

	make_vfs(f);
	fake_text(f, POOLS "ten-ants", VF("0.2") "\n" VF("0.0") "\n");
	o = EXPORT(f, "--format=sriov-device-plugin");
	list = member(o, "resourceList");
	assert_int_equal(json_object_array_length(list), 2);
	assert_string_equal(text_of(item(list, 0), "resourceName"), "vfio_8086_10ca");
	assert_string_equal(text_of(item(list, 0), "deviceType"), "netDevice");
	s = member(item(list, 0), "selectors");
	assert_int_equal(json_object_array_length(member(s, "pciAddresses")), 5);
	assert_string_equal(item_text(member(s, "pciAddresses"), 0), VF("0.4"));
	assert_string_equal(text_of(item(list, 1), "resourceName"), "ten_ants");
	s = member(item(list, 1), "selectors");
	assert_string_equal(item_text(member(s, "vendors"), 0), "8086");
	assert_string_equal(item_text(member(s, "devices"), 0), "10ca");
	assert_string_equal(item_text(member(s, "drivers"), 0), "vfio-pci");
	assert_string_equal(item_text(member(s, "pfNames"), 0), "eth0");
	assert_string_equal(item_text(member(s, "rootDevices"), 0), IGB);
	assert_int_equal(json_object_array_length(member(s, "vendors")), 1);
	assert_int_equal(json_object_array_length(member(s, "rootDevices")), 1);
	assert_string_equal(item_text(member(s, "pciAddresses"), 1), VF("0.2"));
	assert_int_equal(json_object_array_length(member(s, "pciAddresses")), 2);
	json_object_put(o);
	fake_text(f, POOLS "ten.ants", VF("0.4") "\n");
	EXPECT_ERROR(f, 1, "pools ten-ants and ten.ants are both ten_ants", "export",
		     "--format=sriov-device-plugin");
}

static void test_plugin_classes(void **state)
{
	struct fake *f = *state;
	struct pci_addr nvme = fake_at("0000:02:00.0");
	struct json_object *o, *s;

	make_vfs(f);
	fake_text(f, "sys/devices/pci0000:00/" VF("0.2") "/class", "0x120000\n");
	assert_int_equal(vf_create(&f->host, &nvme, 1, "vfio-pci", 0, NULL, NULL), 0);
	EXPECT_ERROR(f, 1, "0000:02:10.0: the plugin hands out network cards and accelerators", "export",
		     "0000:02:00.0/vf0", "--format=sriov-device-plugin");
	EXPECT_ERROR(f, 1, "vfio_8086_10ca has network cards and accelerators", "export",
		     "--format=sriov-device-plugin");
	fake_text(f, POOLS "mixed", VF("0.2") "\n" VF("0.0") "\n");
	EXPECT_ERROR(f, 1, "mixed has network cards and accelerators", "export", "mixed",
		     "--format=sriov-device-plugin");
	fake_text(f, POOLS "mixed", VF("0.2") "\n");
	o = EXPORT(f, "--format=sriov-device-plugin", "mixed");
	assert_string_equal(text_of(item(member(o, "resourceList"), 0), "deviceType"), "accelerator");
	s = member(item(member(o, "resourceList"), 0), "selectors");
	assert_false(json_object_object_get_ex(s, "pfNames", NULL));
	json_object_put(o);
}

/* --- libvirt ---------------------------------------------------------------------------------- */

/* What libvirt's own schema says of these two elements. */
static const char schema[] =
	"<grammar xmlns='http://relaxng.org/ns/structure/1.0' "
	"datatypeLibrary='http://www.w3.org/2001/XMLSchema-datatypes'>"
	"<define name='hex'><data type='string'><param name='pattern'>0x[0-9a-f]{1,4}</param></data></define>"
	"<define name='address'><attribute name='domain'><ref name='hex'/></attribute>"
	"<attribute name='bus'><ref name='hex'/></attribute>"
	"<attribute name='slot'><ref name='hex'/></attribute>"
	"<attribute name='function'><ref name='hex'/></attribute></define>"
	"<define name='driver'><element name='driver'><attribute name='name'><value>vfio</value></attribute>"
	"</element></define>"
	"<define name='managed'><attribute name='managed'><choice><value>yes</value><value>no</value>"
	"</choice></attribute></define>"
	"<start><element name='devices'><zeroOrMore><choice>"
	"<element name='hostdev'><attribute name='mode'><value>subsystem</value></attribute>"
	"<attribute name='type'><value>pci</value></attribute><ref name='managed'/><interleave>"
	"<ref name='driver'/><element name='source'><element name='address'><ref name='address'/>"
	"</element></element></interleave></element>"
	"<element name='interface'><attribute name='type'><value>hostdev</value></attribute>"
	"<ref name='managed'/><interleave><ref name='driver'/><element name='source'>"
	"<element name='address'><attribute name='type'><value>pci</value></attribute><ref name='address'/>"
	"</element></element><optional><element name='mac'><attribute name='address'>"
	"<data type='string'><param name='pattern'>[0-9a-f][02468ace](:[0-9a-f]{2}){5}</param></data>"
	"</attribute></element></optional><optional><element name='vlan'><element name='tag'>"
	"<attribute name='id'><data type='unsignedInt'><param name='maxInclusive'>4095</param></data>"
	"</attribute></element></element></optional></interleave></element>"
	"</choice></zeroOrMore></element></start></grammar>";

static void check_xml(struct fake *f, const char *text)
{
	char rng[300], doc[300];
	const char *const argv[] = { "xmllint", "--noout", "--relaxng", rng, doc, NULL };
	int status;
	pid_t pid;

	snprintf(rng, sizeof(rng), "%s/schema.rng", f->base);
	snprintf(doc, sizeof(doc), "%s/doc.xml", f->base);
	fake_text(f, "schema.rng", schema);
	fake_text(f, "doc.xml", text);
	pid = fork();
	if (!pid) {
		to_fd(2, "/dev/null");
		execvp(argv[0], (char **)argv);
		_exit(98);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 98)
		print_message("there is no xmllint: apt-get install libxml2-utils\n");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_libvirt(void **state)
{
	struct fake *f = *state;
	struct pci_addr nvme = fake_at("0000:02:00.0");
	struct run r;

	make_vfs(f);
	assert_int_equal(vf_create(&f->host, &nvme, 2, "vfio-pci", 0, NULL, NULL), 0);
	fake_text(f, POOLS "a--b&<c>", VF("0.2") "\n");
	RUN(f, &r, "export", "--format=libvirt");
	assert_int_equal(r.code, 0);
	assert_string_equal(r.err, "");
	check_xml(f, r.out);
	assert_non_null(strstr(r.out, "  <!-- pool a-_b__c_ -->\n"
				      "  <interface type='hostdev' managed='no'>\n"
				      "    <driver name='vfio'/>\n    <source>\n"
				      "      <address type='pci' domain='0x0000' bus='0x01' slot='0x10' "
				      "function='0x2'/>\n"));
	assert_non_null(strstr(r.out, "  <hostdev mode='subsystem' type='pci' managed='no'>\n"
				      "    <driver name='vfio'/>\n    <source>\n"
				      "      <address domain='0x0000' bus='0x02' "));
	run_done(&r);
	/* Without its PF's interface nobody can set a VF's MAC: it is a device like any other. */
	fake_remove(f, "sys/devices/pci0000:00/" IGB "/net");
	RUN(f, &r, "export", "--format=libvirt", VF("0.2"));
	check_xml(f, r.out);
	assert_null(strstr(r.out, "interface"));
	run_done(&r);
}

/* --- what is left out, refused, hostile --------------------------------------------------------- */

static void test_which(void **state)
{
	struct fake *f = *state;
	struct json_object *o;
	struct run r;

	EXPECT_ERROR(f, 1, "no function has a VFIO driver", "export", "--format=cdi");
	make_vfs(f);
	EXPECT_ERROR(f, 1, IGB ": its driver is igb, and only functions with a VFIO driver can be "
		     "handed over; run: vfctl bind " IGB " vfio-pci", "export", "--format=cdi", "eth0");
	fake_text(f, "run/viaduct/quarantine/" VF("0.2"), "it died\n");
	EXPECT_ERROR(f, 1, VF("0.2") ": in quarantine: it died", "export", "--format=cdi", "eth0/vf1");
	RUN(f, &r, "export", "--format=cdi");
	assert_int_equal(r.code, 0);
	assert_int_equal(strncmp(r.err, "vfctl: left out: " VF("0.2") ": in quarantine", 42), 0);
	o = json_tokener_parse(r.out);
	assert_int_equal(json_object_array_length(member(o, "devices")), 6);
	json_object_put(o);
	run_done(&r);
	fake_text(f, POOLS "empty", "\n");
	fake_text(f, POOLS "gone", "0000:44:00.0\n");
	EXPECT_ERROR(f, 1, "pool empty has no functions", "export", "--format=cdi", "empty");
	EXPECT_ERROR(f, 1, "0000:44:00.0: no such function", "export", "--format=cdi", "gone");
}

static void test_hostile(void **state)
{
	struct fake *f = *state;
	char big[4097], path[300], *text;
	struct stat st;
	struct run r;

	make_vfs(f);
	memset(big, 'A', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	EXPECT_ERROR(f, 2, "--format takes cdi, sriov-device-plugin or libvirt", "export");
	EXPECT_ERROR(f, 2, "there is no format \"xml???\"", "export", "--format=xml\xc3\xa9\n");
	EXPECT_ERROR(f, 1, "neither a PCI address", "export", "--format=cdi", big);
	EXPECT_ERROR(f, 1, "after the PF comes", "export", "--format=cdi", "../../etc/passwd");
	EXPECT_ERROR(f, 1, "neither a PCI address", "export", "--format=cdi", "0000:00:00.8");
	EXPECT_ERROR(f, 1, "neither a PCI address", "export", "--format=cdi", "");
	EXPECT_ERROR(f, 2, "export takes no --json", "export", "--format=cdi", "--json");
	fake_text(f, POOLS "8digits", VF("0.0") "\n");
	EXPECT_ERROR(f, 1, "pool 8digits: CDI takes names", "export", "--format=cdi", "8digits");
	fake_text(f, POOLS "bad", "../../x\n");
	EXPECT_ERROR(f, 1, "", "export", "--format=cdi", "bad");
	fake_remove(f, POOLS "bad");
	run_to(f, &r, "", (const char *const[]){ "export", "--format=cdi", NULL });
	assert_int_equal(r.code, 1);
	assert_non_null(strstr(r.err, "cannot write the output"));
	run_done(&r);

	snprintf(path, sizeof(path), "--file=%s/viaduct.json", f->base);
	RUN(f, &r, "export", "--format=cdi", path);
	assert_int_equal(r.code, 0);
	assert_string_equal(r.out, "");
	run_done(&r);
	text = slurp(path + 7);
	assert_non_null(strstr(text, "\"kind\""));
	free(text);
	assert_int_equal(stat(path + 7, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	snprintf(path, sizeof(path), "--file=%s/no/such/folder", f->base);
	EXPECT_ERROR(f, 1, "cannot write", "export", "--format=cdi", path);
	fake_remove(f, "sys/bus");
	EXPECT_ERROR(f, 1, "there is no PCI bus", "export", "--format=cdi");
}

/* --- doctor ------------------------------------------------------------------------------------ */

static void test_doctor(void **state)
{
	struct fake *f = *state;
	struct json_object *list, *o;
	struct run r;
	size_t i;

	RUN(f, &r, "doctor");
	assert_int_equal(r.code, 2); /* there is no /dev/kvm */
	assert_non_null(strstr(r.out, "\nfail     kvm                  "));
	assert_non_null(strstr(r.out, "\nok       autoprobe            no PF has it switched off\n"));
	assert_string_equal(r.err, "");
	run_done(&r);
	fake_text(f, "proc/cpuinfo", "vendor_id : AuthenticAMD\nflags : svm\n");
	fake_text(f, "dev/kvm", "");
	fake_text(f, "run/viaduct/quarantine/" IGB, "it died\x01\x80\n");
	RUN(f, &r, "doctor", "--json", "eth0");
	assert_int_equal(r.code, 2);
	list = json_tokener_parse(r.out);
	for (i = 0; strcmp(text_of(item(list, i), "check"), "quarantine") != 0; i++)
		;
	o = item(list, i);
	assert_string_equal(text_of(o, "verdict"), "fail");
	assert_string_equal(text_of(o, "reason"), "in quarantine: " IGB "; " IGB ": it died??");
	assert_string_equal(item_text(member(o, "functions"), 0), IGB);
	json_object_put(list);
	run_done(&r);
	RUN(f, &r, "doctor", "02:00.0");
	assert_int_equal(r.code, 0);
	run_done(&r);
	/* 2 is a finding, so wrong usage is 1. */
	EXPECT_ERROR(f, 1, "usage: vfctl doctor", "doctor", "a", "b");
	EXPECT_ERROR(f, 1, "doctor takes no --force", "doctor", "--force=mount");
	EXPECT_ERROR(f, 1, "neither a PCI address", "doctor", "0000:00:00.8");
	run_to(f, &r, "/dev/full", (const char *const[]){ "doctor", "02:00.0", NULL });
	assert_int_equal(r.code, 1);
	run_done(&r);
	fake_remove(f, "sys/bus");
	EXPECT_ERROR(f, 1, "there is no PCI bus", "doctor");
}

static void test_owner(void **state)
{
	struct fake *f = *state;

	EXPECT_ERROR(f, 2, "--owner hands over the nodes of VFIO", "create", "eth0", "2", "--owner=root");
	EXPECT_ERROR(f, 2, "--owner hands over the nodes of VFIO", "bind", "eth0", "igb", "--owner=root");
	EXPECT_ERROR(f, 2, "--owner hands over", "bind", "eth0", "default", "--owner=root");
	EXPECT_ERROR(f, 1, "there is no user \"no?such\"", "bind", "eth0", "vfio-pci", "--owner=no\tsuch");
	EXPECT_ERROR(f, 1, "there is no user \"\"", "create", "eth0", "2", "--driver=vfio-pci", "--owner=");
	EXPECT_ERROR(f, 2, "unbind takes no --owner", "unbind", "eth0", "--owner=root");
	EXPECT_ERROR(f, 2, "option \"--owner\" needs a value", "bind", "eth0", "vfio-pci", "--owner");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_cdi),     fake_lab_test(test_cdi_pool_and_cdev),
		fake_lab_test(test_plugin),  fake_lab_test(test_plugin_classes),
		fake_lab_test(test_libvirt), fake_lab_test(test_which),
		fake_lab_test(test_hostile), fake_lab_test(test_doctor),
		fake_lab_test(test_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
