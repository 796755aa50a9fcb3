// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "base/util.h"
#include "emulated/uart16550.h"
#include "vfio/iommu.h"
#include "vfio/vfio_pci.h"
#include "viaduct.h"
#include "vmm/chardev.h"
#include "vmm/monitor.h"

/* What the program keeps beside the guest while it runs. */
struct runner {
	struct vm *vm;
	struct chardev *serial;
	struct monitor *monitor;
	int signal_fd;
	struct loop_watch *watch;
	unsigned int asked; /* how often the guest was asked to power off */
};

static void terminal_resized(struct vm *vm)
{
	struct dev *dev;

	for (dev = vm->devs; dev; dev = dev->next) {
		if (!dev->class->control || !dev->class->control->terminal_resized)
			continue;
		pthread_mutex_lock(&dev->lock);
		dev->class->control->terminal_resized(dev);
		pthread_mutex_unlock(&dev->lock);
	}
}

/* The first signal asks the guest, the second ends it. */
static void on_signal(void *opaque, uint32_t events)
{
	struct runner *r = opaque;
	struct signalfd_siginfo info;

	(void)events;
	if (read(r->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH) {
		terminal_resized(r->vm);
		return;
	}
	if (r->asked++) {
		vm_request_host(r->vm, VM_QUIT, "signal");
		return;
	}
	log_line(&viaduct_log, LOG_INFO,
		 "signal %u: the guest was asked to power off; send it again to end the guest now",
		 info.ssi_signo);
	vm_power_button(r->vm);
}

/* A crash must not leave the terminal raw. The handler has nothing but this to go by, so it is the
 * program's one variable of file scope. */
static struct chardev *crash_serial;

static void on_crash(int sig)
{
	chardev_restore(crash_serial);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void catch_crashes(struct runner *r)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
	struct sigaction sa = { .sa_handler = on_crash };
	size_t i;

	if (!isatty(STDIN_FILENO))
		return;
	crash_serial = r->serial;
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

/* From here on signals are read from a descriptor, by the loop; threads inherit the mask. Before,
 * they end the process, and the kernel takes everything back. */
static int catch_signals(struct runner *r, struct err *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signal_fd < 0)
		return err_sys(err, -errno, "signalfd");
	return loop_watch_add(r->vm->loop, r->signal_fd, EPOLLIN, NULL, on_signal, r, &r->watch,
			      err);
}

static int set_up(struct runner *r, const struct run_options *opts, struct err *err)
{
	struct dev *dev;
	unsigned int i;
	int ret = vm_new(&r->vm, &opts->config, &viaduct_log, err);

	/* Before anything is taken: who connects is answered when the guest runs. */
	if (!ret && opts->monitor)
		ret = monitor_new(&r->monitor, r->vm, opts->monitor, err);
	if (!ret)
		vfio_pci_ahead(r->vm, &viaduct_devices, opts->devices, opts->device_count);
	for (i = 0; i < opts->device_count && !ret; i++)
		ret = dev_create(r->vm, &viaduct_devices, opts->devices[i], false, &dev, err);
	if (!ret)
		iommu_ahead_done(r->vm);
	if (!ret)
		viaduct_print_devices(r->vm, stderr, "");
	if (!ret)
		ret = catch_signals(r, err);
	if (!ret)
		ret = chardev_new(&r->serial, opts->serial, &viaduct_log, err);
	if (!ret)
		catch_crashes(r);
	if (!ret)
		ret = uart_new(r->vm, r->serial, err);
	if (!ret)
		ret = vm_prepare(r->vm, err);
	return ret;
}

int viaduct_run(const struct run_options *opts)
{
	struct runner r = { .signal_fd = -1 };
	struct err err = { 0 };
	int ret = set_up(&r, opts, &err);

	if (!ret)
		ret = vm_run(r.vm, &err);
	monitor_free(r.monitor);
	loop_watch_del(r.watch);
	fd_close(&r.signal_fd);
	vm_free(r.vm);
	crash_serial = NULL;
	chardev_free(r.serial);
	if (ret)
		fprintf(stderr, "viaduct: %s\n", err.msg);
	return ret == VM_END_DEVICE ? EXIT_DEVICE : ret ? EXIT_FAILURE : 0;
}
