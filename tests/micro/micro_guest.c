// SPDX-License-Identifier: GPL-2.0-or-later
#include "micro_guest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"

static void micro_log(void *opaque, enum log_level level, const char *line)
{
	(void)opaque;
	(void)level;
	fprintf(stderr, "# %s\n", line);
}

static const struct log micro_log_sink = { .sink = micro_log, .max = LOG_INFO };

const char *micro_reason_to_skip(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return "no usable /dev/kvm";
	close(fd);
	return NULL;
}

struct vm *micro_new(void)
{
	struct vm_config config = { .name = "micro", .memory = 2 * MIB, .cpus = 1 };
	struct err err = { 0 };
	struct vm *vm = NULL;

	if (vm_new(&vm, &config, &micro_log_sink, &err))
		fail_msg("%s", err.msg);
	return vm;
}

void micro_load(struct vm *vm, const uint8_t *start, const uint8_t *end)
{
	struct vcpu_entry entry = { .mode = VCPU_PVH, .rip = MICRO_CODE, .rsp = MICRO_STACK };
	struct err err = { 0 };

	if (vm_prepare(vm, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(mem_write(&vm->mem, MICRO_CODE, start, (uint64_t)(end - start)), 0);
	if (vcpus_reset(vm, &entry, &err))
		fail_msg("%s", err.msg);
}

static void micro_timeout(void *opaque)
{
	vm_request(opaque, VM_CRASH, "the micro guest did not end within 20 s");
}

int micro_run(struct vm *vm, struct err *err)
{
	struct loop_timer *timer;
	int ret = loop_timer_new(vm->loop, NULL, micro_timeout, vm, &timer, err);

	if (ret)
		return ret;
	loop_timer_set(timer, 20000000000ull);
	ret = vm_run(vm, err);
	loop_timer_del(timer);
	return ret;
}

uint32_t micro_result(struct vm *vm, unsigned int index)
{
	uint32_t v = 0;

	assert_int_equal(mem_read(&vm->mem, MICRO_DATA + 4ull * index, &v, sizeof(v)), 0);
	return v;
}
