// SPDX-License-Identifier: GPL-2.0-or-later
/* Attaching functions: what is mapped, what is shared, what each refusal says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/kvm.h>

#include "base/util.h"
#include "fake_guest.h"
#include "fake_kvm.h"
#include "vfio/iommu.h"
#include "vfio/vfio_sys.h"

static int setup(void **state)
{
	*state = fake_guest_new(64 * MIB, false);
	return 0;
}

static int teardown(void **state)
{
	fake_guest_free(*state);
	return 0;
}

static void expect_refused(struct fake_guest *g, const char *name, int code, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(fake_guest_try(g, name, &err), code);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
	assert_int_equal(fake_vfio_fds(), 0);
	assert_int_equal(fake_vfio_reservations(), 0);
	assert_int_equal(fake_kvm_vfio_files(), 0);
}

/* Descriptors that stand: by type1 a container, groups and functions, by iommufd one and functions.
 */
static unsigned int fds(unsigned int groups, unsigned int functions)
{
	return 1 + functions + (fake_vfio_by_iommufd() ? 0 : groups);
}

static void test_attach(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct fake_dma dma[8];
	char buf[64];
	struct pci_dev *pdev = fake_guest_add(g, "01:10.0");

	assert_true(vf->open);
	assert_int_equal(vf->resets, 0); /* the kernel's own at open is enough */
	assert_int_equal(fake_vfio_fds(), fds(1, 1));
	assert_int_equal(fake_kvm_vfio_files(), 1);
	assert_int_equal(fake_vfio_count(FAKE_DMA_MAP), 1);
	assert_int_equal(fake_vfio_dma(dma, 8), 1);
	assert_int_equal(dma[0].iova, 0);
	assert_int_equal(dma[0].size, 64 * MIB);
	assert_ptr_equal(dma[0].hva, g->vm->mem.banks[0].hva);
	pdev->dev.class->describe(&pdev->dev, buf, sizeof(buf));
	assert_string_equal(buf, fake_vfio_by_iommufd() ? "0000:01:10.0 by iommufd, group 20"
							: "0000:01:10.0 by type1, group 20");
	assert_string_equal(g->text, "");
}

/* G4: map calls are RAM banks and mapped BAR parts, and nothing is unmapped while it boots. */
static void test_dma_counts(void **state)
{
	struct fake_guest *g = *state;
	unsigned int banks = 1, bars;

	if ((uint64_t)sysconf(_SC_PHYS_PAGES) * 4096 > 4 * GIB) {
		fake_guest_vm_free(g);
		fake_guest_vm_new(g, 3 * GIB + 512 * MIB, false);
		banks = 2;
	}
	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_igbvf("0000:01:10.2", VF0_GROUP + 1);
	fake_vfio_nvme(NVME, NVME_GROUP);
	fake_vfio_forget();
	fake_guest_add(g, VF0);
	fake_guest_add(g, "0000:01:10.2");
	fake_guest_add(g, NVME);
	assert_int_equal(fake_vfio_count(FAKE_DMA_MAP), banks);
	fake_guest_place(g);
	/* Each VF: BAR 0 whole, BAR 3 below the table, between table and PBA, behind the PBA; the
	 * NVMe's BAR 0 below and behind the page that table and PBA share. iommufd maps no BAR,
	 * which is found out once. */
	bars = 2 * 3 + 2;
	assert_int_equal(fake_vfio_count(FAKE_DMA_MAP),
			 banks + (fake_vfio_by_iommufd() ? 1 : bars));
	assert_int_equal(fake_vfio_count(FAKE_DMA_UNMAP), 0);
	assert_int_equal(fake_vfio_dma(NULL, 0), banks + (fake_vfio_by_iommufd() ? 0 : bars));
}

static void test_group_shared(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *a = fake_vfio_e1000(E1000, E1000_GROUP);
	struct fake_vdev *b = fake_vfio_e1000(RTL8139, E1000_GROUP);
	struct pci_dev *first = fake_guest_add(g, E1000);

	fake_guest_add(g, RTL8139);
	assert_true(a->open && b->open);
	assert_int_equal(fake_vfio_fds(), fds(1, 2));
	assert_int_equal(fake_vfio_count(VFIO_GROUP_SET_CONTAINER), !fake_vfio_by_iommufd());
	assert_int_equal(fake_vfio_count(IOMMU_IOAS_ALLOC), fake_vfio_by_iommufd());
	assert_int_equal(fake_kvm_vfio_files(), fake_vfio_by_iommufd() ? 2 : 1);
	dev_remove(&first->dev);
	loop_do_posted(g->vm->loop);
	assert_false(a->open);
	assert_true(b->open);
	assert_int_equal(fake_vfio_fds(), fds(1, 1));
	assert_int_equal(fake_vfio_dma(NULL, 0), 1);
}

/* The last function takes the back end along; the next one makes it anew. */
static void test_again(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev;
	int i;

	for (i = 0; i < 3; i++) {
		pdev = fake_guest_add(g, VF0);
		assert_int_equal(fake_vfio_dma(NULL, 0), 1);
		dev_remove(&pdev->dev);
		loop_do_posted(g->vm->loop);
		assert_int_equal(fake_vfio_fds(), 0);
		assert_int_equal(fake_vfio_dma(NULL, 0), 0);
		assert_int_equal(fake_kvm_vfio_files(), 0);
	}
	assert_int_equal(vf->opens, 3);
	assert_int_equal(fake_kvm_count(KVM_CREATE_DEVICE), 1);
}

static void test_twice(void **state)
{
	struct fake_guest *g = *state;
	struct iommu_dev idev = { .fd = -1 };
	struct err err = { 0 };

	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_guest_add(g, VF0);
	assert_int_equal(fake_guest_try(g, "eth0/vf0", &err), -EEXIST);
	assert_non_null(strstr(err.msg, "0000:01:10.0: this guest has it already, as vfio-pci0"));
	assert_int_equal(fake_vfio_fds(), fds(1, 1));
	/* The back end by itself refuses it too. */
	idev.host = &g->host->host;
	assert_int_equal(pci_addr_parse(VF0, &idev.addr), 0);
	idev.group = VF0_GROUP;
	assert_int_equal(iommu_attach(g->vm, NULL, &idev, &err), -EEXIST);
	assert_string_equal(err.msg, "0000:01:10.0: this guest has this function already");
	iommu_detach(g->vm, &idev);
	assert_int_equal(fake_vfio_fds(), fds(1, 1));
}

static void test_any(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *a = fake_vfio_igbvf(VF0, VF0_GROUP);

	fake_guest_add(g, "eth0/any");
	assert_true(a->open);
}

static void test_not_to_be_had(void **state)
{
	struct fake_guest *g = *state;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	expect_refused(g, "0000:77:00.0", -ENODEV, "0000:77:00.0: no such");
	expect_refused(g, "no/such/name", -EINVAL, "after the PF comes");
	fake_guest_bind(g, VF0, "igbvf");
	expect_refused(g, VF0, -ENODEV,
		       "0000:01:10.0: bound to igbvf, not vfio-pci; run: vfctl bind 0000:01:10.0 "
		       "vfio-pci");
	fake_guest_bind(g, RTL8139, "8139cp");
	expect_refused(g, E1000, -ENODEV,
		       "0000:06:01.0: group 15 is not viable: 0000:06:02.0 is bound to 8139cp; "
		       "run: vfctl bind 0000:06:02.0 vfio-pci");
	fake_guest_bind(g, VF0, "vfio-pci");
	fake_remove(g->host, "sys/bus/pci/devices/0000:01:10.0/iommu_group");
	expect_refused(g, VF0, -ENODEV,
		       "0000:01:10.0: the host has no IOMMU (no IOMMU group); boot it with "
		       "intel_iommu=on or amd_iommu=on");
}

/* The nodes that a row opens, in that order. */
static void test_nodes(void **state)
{
	static const char *const by_type1[] = { "vfio/20", "vfio/vfio" };
	static const char *const by_iommufd[] = { "iommu", "vfio/devices/vfio0" };
	const char *const *nodes = fake_vfio_by_iommufd() ? by_iommufd : by_type1;
	struct fake_guest *g = *state;
	char text[160];
	unsigned int i;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	for (i = 0; i < 2; i++) {
		fake_vfio_fail(FAKE_OPEN, i + 1, i ? EPERM : EACCES);
		snprintf(text, sizeof(text),
			 "0000:01:10.0: no permission for /dev/%s; run as root or give the node to "
			 "this user",
			 nodes[i]);
		expect_refused(g, VF0, -ENODEV, text);
		fake_vfio_fail(FAKE_OPEN, i + 1, ENXIO);
		snprintf(
			text, sizeof(text),
			"there is no /dev/%s; load the modules: modprobe vfio-pci, and modprobe %s",
			nodes[i], fake_vfio_by_iommufd() ? "iommufd" : "vfio_iommu_type1");
		expect_refused(g, VF0, -ENODEV, text);
	}
	fake_vfio_fail(0, 0, 0);
	for (i = 2; i-- > 0;) {
		snprintf(text, sizeof(text), "dev/%s", nodes[i]);
		fake_remove(g->host, text);
		snprintf(text, sizeof(text), "there is no /dev/%s", nodes[i]);
		expect_refused(g, VF0, -ENODEV,
			       strstr(nodes[i], "devices")
				       ? "it has no node below /dev/vfio/devices"
				       : text);
	}
}

/* Somebody else has the group or the function: who, where that can be seen. */
static void test_busy(void **state)
{
	const char *text = "0000:01:10.0: group 20 is in use by another process (pid 123 viaduct)";
	struct fake_guest *g = *state;
	char path[HOST_PATH_MAX];
	int group;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_process(g->host, 123, "viaduct", "vfio/20");
	snprintf(path, sizeof(path), "%s/vfio/20", g->host->host.dev_root);
	group = vfio_sys_open(path);
	assert_true(group >= 0);
	assert_int_equal(fake_guest_try(g, VF0, &(struct err){ 0 }), -ENODEV);
	assert_int_equal(fake_vfio_fds(), 1);
	vfio_sys_close(group);
	if (fake_vfio_by_iommufd()) {
		fake_vfio_fail(VFIO_DEVICE_BIND_IOMMUFD, 1, EBUSY);
		expect_refused(g, VF0, -ENODEV, text);
		/* A node can be opened by many and bound by one. */
		fake_vfio_fail(VFIO_DEVICE_BIND_IOMMUFD, 1, EINVAL);
		expect_refused(g, VF0, -ENODEV, "group 20 is in use by another process; end that");
		fake_process(g->host, 124, "qemu", "vfio/devices/vfio0");
		fake_vfio_fail(VFIO_DEVICE_BIND_IOMMUFD, 1, EINVAL);
		expect_refused(g, VF0, -ENODEV, "in use by another process (pid 124 qemu)");
	} else {
		fake_vfio_fail(FAKE_OPEN, 1, EBUSY);
		expect_refused(g, VF0, -ENODEV, text);
		fake_vfio_fail(VFIO_GROUP_GET_DEVICE_FD, 1, EBUSY);
		expect_refused(g, VF0, -ENODEV, "in use already");
	}
}

static void test_refusals(void **state)
{
	bool iommufd = fake_vfio_by_iommufd();
	struct fake_guest *g = *state;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_fail(iommufd ? VFIO_DEVICE_BIND_IOMMUFD : VFIO_SET_IOMMU, 1, EPERM);
	expect_refused(g, VF0, -ENODEV, "does not remap interrupts");
	if (iommufd) {
		fake_vfio_fail(VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EADDRINUSE);
		expect_refused(
			g, VF0, -EADDRINUSE,
			"0000:01:10.0: the host's IOMMU reserves addresses for it where this "
			"guest has memory (see /sys/kernel/iommu_groups/20/reserved_regions");
	} else {
		fake_vfio_fail(VFIO_CHECK_EXTENSION, 1, EINVAL);
		expect_refused(g, VF0, -ENODEV, "modprobe vfio_iommu_type1");
	}
	/* KVM is told before the function is opened to the guest. */
	fake_vfio_forget();
	fake_kvm_fail(KVM_SET_DEVICE_ATTR, 1, EINVAL);
	expect_refused(g, VF0, -EINVAL, "0000:01:10.0: KVM does not take the VFIO descriptor");
	assert_int_equal(fake_vfio_count(VFIO_DEVICE_BIND_IOMMUFD), 0);
	assert_int_equal(fake_vfio_count(VFIO_GROUP_GET_DEVICE_FD), 0);
	/* A KVM without that device is no reason to do without the function. */
	fake_guest_vm_free(g);
	fake_guest_vm_new(g, 64 * MIB, false);
	fake_kvm_fail(KVM_CREATE_DEVICE, 1, ENODEV);
	fake_guest_add(g, VF0);
	assert_true(fake_guest_logged(g, "KVM has no VFIO device"));
}

/* A memory-lock limit is not "not to be had": it stops the guest, before anything is opened. */
static void test_memlock(void **state)
{
	struct fake_guest *g = *state;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_forget();
	fake_vfio_memlock(8 * MIB, 0);
	expect_refused(g, VF0, -ENOMEM,
		       "0000:01:10.0: 65536 KiB of guest memory have to be pinned for DMA, and the "
		       "memory-lock limit (RLIMIT_MEMLOCK) is 8192 KiB");
	/* What is locked already counts, to the page. */
	fake_vfio_memlock(64 * MIB, 4096);
	expect_refused(g, VF0, -ENOMEM, "65536 KiB, of which 4 KiB are in use");
	fake_vfio_memlock(4096, 8192);
	expect_refused(g, VF0, -ENOMEM, "is 4 KiB, of which 8 KiB are in use");
	assert_int_equal(fake_vfio_total(), 0);
	fake_vfio_memlock(64 * MIB, 4096);
	expect_refused(g, VF0, -ENOMEM,
		       fake_vfio_by_iommufd()
			       ? "for all guests of this user together; raise it to 65540 KiB"
			       : "in use; raise it to 65540 KiB");
	/* What is not to be had needs no memory: the next choice may take its place. */
	fake_guest_bind(g, VF0, "igbvf");
	expect_refused(g, VF0, -ENODEV, "bound to igbvf, not vfio-pci");
	fake_guest_bind(g, VF0, "vfio-pci");
	fake_vfio_memlock(64 * MIB + 4096, 4096);
	fake_guest_add(g, VF0);
	/* The second function pins nothing more. */
	fake_vfio_igbvf("0000:01:10.2", VF0_GROUP + 1);
	fake_vfio_memlock(64 * MIB + 4096, 64 * MIB + 4096);
	fake_guest_add(g, "0000:01:10.2");
}

static void test_no_permission_outranks_memlock(void **state)
{
	struct fake_guest *g = *state;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_memlock(8 * MIB, 0);
	fake_remove(g->host, fake_vfio_by_iommufd() ? "dev/iommu" : "dev/vfio/20");
	expect_refused(g, VF0, -ENODEV, "there is no /dev/");
	fake_vfio_memlock(UINT64_MAX, 0);
}

static void test_map_fails(void **state)
{
	struct fake_guest *g = *state;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_fail(FAKE_DMA_MAP, 1, ENOMEM);
	expect_refused(g, VF0, -ENOMEM,
		       "0000:01:10.0: cannot pin 65536 KiB of guest memory for DMA: the host has "
		       "not that much free memory");
	/* Others of this user may have taken the room meanwhile. */
	fake_vfio_memlock(64 * MIB, 0);
	fake_vfio_fail(FAKE_DMA_MAP, 1, ENOMEM);
	expect_refused(g, VF0, -ENOMEM, "memory-lock limit (RLIMIT_MEMLOCK) is 65536 KiB");
	fake_vfio_memlock(UINT64_MAX, 0);
	fake_vfio_fail(FAKE_DMA_MAP, 1, ENODEV);
	expect_refused(g, VF0, -EIO, "mapping 0x4000000 bytes of guest memory at 0x0 for DMA");
	fake_vfio_fail(FAKE_DMA_MAP, 1, EINVAL);
	expect_refused(g, VF0, -EINVAL, "reserves some of these addresses");
	fake_vfio_fail(FAKE_DMA_MAP, 1, ENOSPC);
	expect_refused(g, VF0, -ENOSPC,
		       fake_vfio_by_iommufd() ? "No space left on device"
					      : "parameter vfio_iommu_type1.dma_entry_limit");
}

/* A BAR that the IOMMU does not take costs peer to peer, not the function. */
static void test_bar_map_fails(void **state)
{
	struct fake_guest *g = *state;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_guest_add(g, VF0);
	fake_vfio_fail(FAKE_DMA_MAP, 1, EINVAL);
	fake_guest_place(g);
	assert_true(fake_guest_logged(g, "no peer to peer at 0x"));
	assert_int_equal(fake_vfio_dma(NULL, 0), fake_vfio_by_iommufd() ? 1 : 3);
}

/* iommufd takes no BAR: said once, and only to a guest with a peer that could miss it. */
static void test_no_bars(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;
	const char *line;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	pdev = fake_guest_add(g, VF0);
	fake_guest_place(g);
	assert_int_equal(g->len, 0);
	fake_vfio_igbvf("0000:01:10.2", VF0_GROUP + 1);
	fake_guest_add(g, "0000:01:10.2");
	fake_guest_place(g);
	line = strstr(g->text, "iommufd maps no BARs for DMA on this kernel: no peer to peer");
	assert_int_equal(line != NULL, fake_vfio_by_iommufd());
	if (line)
		assert_null(strstr(line + 20, "maps no BARs"));
	/* What was not mapped is not unmapped in vain. */
	pci_config_write(pdev, PCI_BASE_ADDRESS_0, 4, (uint32_t)(pci_bar_addr(pdev, 0) + 64 * MIB));
	assert_false(fake_guest_logged(g, "unmapping"));
}

static void expect_nothing_stands(void)
{
	assert_int_equal(fake_vfio_fds(), 0);
	assert_int_equal(fake_vfio_reservations(), 0);
	assert_int_equal(fake_vfio_dma(NULL, 0), 0);
	assert_int_equal(fake_kvm_vfio_files(), 0);
	assert_int_equal(fake_kvm_irqfds(), 0);
}

static void remove_all(struct fake_guest *g)
{
	struct dev *dev, *next;

	for (dev = g->vm->devs; dev; dev = next) {
		next = dev->next;
		if (!strcmp(dev->class->name, "vfio-pci"))
			dev_remove(dev);
	}
	loop_do_posted(g->vm->loop);
}

/* True when the function was refused. */
static bool one_failure(struct fake_guest *g, unsigned int at, bool kvm, int code)
{
	struct err err = { 0 };
	bool refused;

	fake_guest_vm_free(g);
	fake_guest_vm_new(g, 64 * MIB, false);
	g->len = 0;
	g->text[0] = '\0';
	if (kvm)
		fake_kvm_fail(0, at, code);
	else
		fake_vfio_fail(0, at, code);
	refused = fake_guest_try(g, NVME, &err);
	fake_vfio_fail(0, 0, 0);
	fake_kvm_fail(0, 0, 0);
	if (!refused)
		remove_all(g);
	else
		assert_true(err.code && *err.msg);
	expect_nothing_stands();
	/* Those that cost a part say so. */
	if (!refused && code == EIO)
		assert_int_not_equal(g->len, 0);
	return refused;
}

/* Each call to VFIO and to KVM fails in turn, in each way: nothing stays open, mapped or armed. */
static void test_each_fails(void **state)
{
	static const int codes[] = { EIO,    EINVAL, ENOMEM, EBUSY, EPERM,
				     ENODEV, ENOSPC, EACCES, EFAULT };
	struct fake_guest *g = *state;
	unsigned int at, calls, kvm_calls, refused, i;

	fake_vfio_nvme(NVME, NVME_GROUP);
	fake_vfio_forget();
	kvm_calls = fake_kvm_count(0);
	fake_guest_add(g, NVME);
	calls = fake_vfio_total();
	kvm_calls = fake_kvm_count(0) - kvm_calls;
	for (i = 0; i < ARRAY_SIZE(codes); i++) {
		refused = 0;
		for (at = 1; at <= calls; at++)
			refused += one_failure(g, at, false, codes[i]);
		/* The two mappings of a BAR, its address space, and the two halves of INTx can be
		 * done without. */
		if (codes[i] == EIO)
			assert_int_equal(refused, calls - 5);
		for (at = 1; at <= kvm_calls; at++)
			one_failure(g, at, true, codes[i]);
	}
}

/* The same while the function is given back. */
static void test_each_fails_at_the_end(void **state)
{
	struct fake_guest *g = *state;
	unsigned int at, calls;

	fake_vfio_nvme(NVME, NVME_GROUP);
	fake_guest_add(g, NVME);
	fake_vfio_forget();
	remove_all(g);
	calls = fake_vfio_total();
	assert_true(calls > 2);
	for (at = 1; at <= calls; at++) {
		fake_guest_add(g, NVME);
		fake_vfio_fail(0, at, EIO);
		remove_all(g);
		fake_vfio_fail(0, 0, 0);
		expect_nothing_stands();
	}
}

static void test_plan(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;
	struct err err = { 0 };

	fake_guest_vm_free(g);
	fake_guest_vm_new(g, 64 * MIB, true);
	fake_text(g->host, "sys/bus/pci/devices/0000:01:10.0/resource",
		  "0x00000000fe000000 0x00000000fe003fff 0x0000000000140204\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x00000000fe100000 0x00000000fe103fff 0x000000000014220c\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x000000000000c000 0x000000000000c03f 0x0000000000040101\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
	fake_text(g->host, "sys/bus/pci/devices/0000:01:10.2/resource", "");
	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_igbvf("0000:01:10.2", VF0_GROUP + 1);
	fake_vfio_forget();
	/* A plan says what a run would meet. */
	fake_vfio_memlock(64 * KIB, 0);
	assert_int_equal(fake_guest_try(g, "eth0/any", &err), -ENOMEM);
	fake_vfio_memlock(UINT64_MAX, 0);
	pdev = fake_guest_add(g, "eth0/any");
	assert_int_equal(pdev->bars[0].kind, PCI_BAR_MEM64);
	assert_int_equal(pdev->bars[0].size, 16 * KIB);
	assert_int_equal(pdev->bars[3].kind, PCI_BAR_MEM64);
	assert_true(pdev->bars[3].prefetch);
	assert_int_equal(pdev->bars[5].kind, PCI_BAR_IO);
	assert_int_equal(pdev->bars[5].size, 64);
	/* The next free one, though nothing was opened. */
	pdev = fake_guest_add(g, "eth0/any");
	assert_string_equal(pdev->dev.id, "vfio-pci1");
	assert_int_equal(fake_guest_try(g, VF0, &err), -EEXIST);
	fake_remove(g->host, "dev/vfio/22");
	assert_int_equal(fake_guest_try(g, "eth0/vf2", &err), -ENODEV);
	assert_non_null(strstr(err.msg, fake_vfio_by_iommufd()
						? "it has no node below /dev/vfio/devices"
						: "there is no /dev/vfio/22"));
	fake_guest_place(g);
	assert_int_equal(fake_vfio_total(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_attach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dma_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_to_be_had, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memlock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_permission_outranks_memlock, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_map_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar_map_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_bars, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_fails_at_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
