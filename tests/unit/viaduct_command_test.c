// SPDX-License-Identifier: GPL-2.0-or-later
/* The viaduct program as a user calls it: status, one line for each fault, and what it does on a
 * machine whose KVM cannot run a stock kernel. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/util.h"
#include "vmm/vcpu.h"

#define ARGS_MAX 16

struct result {
	int status; /* 1000 + signal when it was killed */
	char out[16384], err[4096];
};

static void slurp(FILE *f, char *buf, size_t size)
{
	size_t n;

	rewind(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
}

static struct result viaduct(const char *const *args)
{
	const char *argv[ARGS_MAX + 2] = { "viaduct" };
	struct result r = { 0 };
	FILE *out = tmpfile(), *err = tmpfile();
	int status, i;
	pid_t pid;

	assert_non_null(out);
	assert_non_null(err);
	for (i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	pid = fork();
	if (!pid) {
		dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
		dup2(fileno(out), 1);
		dup2(fileno(err), 2);
		alarm(20); /* a hang is a death by SIGALRM */
		execv(VIADUCT_PATH, (char *const *)argv);
		_exit(98);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
	slurp(out, r.out, sizeof(r.out));
	slurp(err, r.err, sizeof(r.err));
	return r;
}

#define VIADUCT(...) viaduct((const char *const[]){ __VA_ARGS__, NULL })

static unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void expect(const struct result *r, int status, const char *word)
{
	if (r->status != status || !strstr(r->err, word))
		fail_msg("status %d, wanted %d and \"%s\": %s", r->status, status, word, r->err);
	if (status == 1)
		assert_int_equal(lines(r->err), 1);
}

/* The least that the 64-bit boot protocol takes for a kernel (Documentation/arch/x86/boot.rst). */
static const char *fake_kernel(void)
{
	static const char *const path = "/dev/shm/viaduct-command-test-kernel";
	static uint8_t image[0x10000];
	FILE *f = fopen(path, "we");

	image[0x1f1] = 1;
	put_le32(image + 0x1f4, (sizeof(image) - 1024) / 16);
	put_le16(image + 0x1fe, 0xaa55);
	image[0x200] = 0xeb;
	image[0x201] = 0x6a;
	put_le32(image + 0x202, 0x53726448);
	put_le16(image + 0x206, 0x020f);
	image[0x211] = 1;
	put_le32(image + 0x214, 0x100000);
	put_le32(image + 0x22c, 0x7fffffff);
	put_le32(image + 0x230, 0x200000);
	image[0x234] = 1;
	image[0x235] = 21;
	put_le16(image + 0x236, 1);
	put_le32(image + 0x238, 2047);
	put_le64(image + 0x258, 0x1000000);
	put_le32(image + 0x260, 0x100000);
	assert_non_null(f);
	assert_int_equal(fwrite(image, 1, sizeof(image), f), sizeof(image));
	fclose(f);
	return path;
}

static void test_wrong_usage_is_status_2(void **state)
{
	struct result r;

	(void)state;
	r = VIADUCT("frob");
	expect(&r, 2, "frob: not a command");
	r = VIADUCT("run");
	expect(&r, 2, "no --kernel given");
	r = VIADUCT("run", "--frob");
	expect(&r, 2, "frob");
	r = VIADUCT("run", "--kernel");
	expect(&r, 2, "kernel");
	r = VIADUCT("plan", "--kernel", "/x", "stray");
	expect(&r, 2, "stray: not an option");
}

static void test_help_and_version_are_status_0(void **state)
{
	struct result r;

	(void)state;
	r = VIADUCT("--help");
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "plan"));
	r = VIADUCT("run", "--help");
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "--initrd FILE"));
	r = VIADUCT("plan", "--device", "help");
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "vfio-pci, then virtio-net"));
	r = VIADUCT("--version");
	assert_int_equal(r.status, 0);
}

static void test_bad_values_are_one_line_and_status_1(void **state)
{
	const char *kernel = fake_kernel();
	struct result r;

	(void)state;
	r = VIADUCT("plan", "--kernel", "/nowhere");
	expect(&r, 1, "/nowhere");
	r = VIADUCT("plan", "--kernel", "/");
	expect(&r, 1, "directory");
	r = VIADUCT("plan", "--kernel", VIADUCT_PATH);
	expect(&r, 1, "an ELF file that cannot be booted");
	r = VIADUCT("plan", "--kernel", kernel, "--cpus", "0");
	expect(&r, 1, "0 vCPUs");
	r = VIADUCT("plan", "--kernel", kernel, "--cpus", "1000");
	expect(&r, 1, "1000 vCPUs");
	r = VIADUCT("plan", "--kernel", kernel, "--cpus", "two");
	expect(&r, 1, "--cpus two: cpus=two: it takes a number");
	r = VIADUCT("plan", "--kernel", kernel, "--cpus", "2,pin=x");
	expect(&r, 1, "pin=x: it takes a set of CPUs");
	r = VIADUCT("plan", "--kernel", kernel, "--cpus", "2,colour=red");
	expect(&r, 1, "no other option than pin");
	r = VIADUCT("plan", "--kernel", kernel, "--memory", "64M,node=900");
	expect(&r, 1, "node=900: ");
	r = VIADUCT("plan", "--kernel", kernel, "--memory", "63M,page-size=2M");
	expect(&r, 1, "page");
	r = VIADUCT("plan", "--kernel", kernel, "--memory", "64M,colour=red");
	expect(&r, 1, "--memory 64M,colour=red: colour: no such option");
	r = VIADUCT("plan", "--kernel", kernel, "--memory", "4097K");
	expect(&r, 1, "whole pages");
	r = VIADUCT("plan", "--kernel", kernel, "--memory", "1024T");
	expect(&r, 1, "more than this host has");
	r = VIADUCT("plan", "--kernel", kernel, "--device", "teapot");
	expect(&r, 1, "teapot");
	r = VIADUCT("plan", "--kernel", kernel, "--device", "vfio-pci,host=ffff:ff:1f.7");
	expect(&r, 1, "ffff:ff:1f.7: no such function");
}

static void test_a_plan_shows_the_fallback_and_the_map(void **state)
{
	struct result r = VIADUCT("plan", "--kernel", fake_kernel(), "--memory", "64M", "--device",
				  "net,host=ffff:ff:1f.7");

	(void)state;
	if (r.status)
		fail_msg("%s", r.err);
	assert_non_null(strstr(r.out, "net0: vfio-pci passed over: ffff:ff:1f.7: no such function"));
	assert_non_null(strstr(r.out, "net0: virtio-net"));
	assert_non_null(strstr(r.out, "000000000000-000003ffffff     64 MiB  RAM"));
	assert_non_null(strstr(r.out, "01.0 net0 BAR"));
}

static void test_a_host_that_cannot_run_kernels_says_so(void **state)
{
	struct result r;

	(void)state;
	if (access("/dev/kvm", R_OK | W_OK)) {
		r = VIADUCT("run", "--kernel", fake_kernel(), "--serial", "none");
		expect(&r, 1, "/dev/kvm");
		return;
	}
	if (vcpu_host_can_virtualize()) {
		print_message("this machine's KVM can run kernels; the other branch is for others\n");
		skip();
	}
	r = VIADUCT("run", "--kernel", fake_kernel(), "--serial", "none");
	expect(&r, 1, "neither VMX nor SVM");
}

static int remove_kernel(void **state)
{
	(void)state;
	unlink(fake_kernel());
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_usage_is_status_2),
		cmocka_unit_test(test_help_and_version_are_status_0),
		cmocka_unit_test(test_bad_values_are_one_line_and_status_1),
		cmocka_unit_test(test_a_plan_shows_the_fallback_and_the_map),
		cmocka_unit_test(test_a_host_that_cannot_run_kernels_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, remove_kernel);
}
