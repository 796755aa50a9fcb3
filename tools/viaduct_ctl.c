// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/util.h"
#include "viaduct.h"
#include "vmm/monitor_priv.h"

static void ctl_usage(FILE *out)
{
	fprintf(out, "usage: viaduct ctl SOCKET COMMAND…\n"
		"  info status|balloon|commands|name|version\n"
		"         say how it is\n"
		"  stop | cont\n"
		"         let the guest's CPUs stand, and go on\n"
		"  powerdown | reset | quit\n"
		"         press the power button; restart; end the guest at once\n"
		"  balloon SIZE\n"
		"         how much memory the guest is to have, such as 512M\n"
		"  set-link DEVICE on|off\n"
		"         plug a network card's cable, or pull it\n"
		"  '{\"execute\": …}'\n"
		"         any command of the monitor's (QMP), its answer as JSON\n");
}

static int ctl_connect(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes",
			       path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int ret = err_sys(err, -errno, "%s: no guest's monitor answers", path);

		close(fd);
		return ret;
	}
	*ret_fd = fd;
	return 0;
}

int viaduct_ctl(int argc, char **argv)
{
	const struct monitor_module *module;
	struct err err = { .code = 0 };
	void *handle;
	int fd = -1, ret;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		ctl_usage(stdout);
		return 0;
	}
	if (argc < 3 || !*argv[2]) {
		ctl_usage(stderr);
		return EXIT_USAGE;
	}
	ret = monitor_module_get(&module, &handle, &err);
	if (!ret)
		ret = ctl_connect(argv[1], &fd, &err);
	if (!ret)
		ret = module->ctl(fd, argc - 2, argv + 2, stdout, &err);
	fd_close(&fd);
	if (ret)
		fprintf(stderr, "viaduct ctl: %s\n", err.msg);
	if (fflush(stdout) || ferror(stdout)) {
		perror("viaduct: writing the output");
		ret = -EIO;
	}
	return !ret ? 0 : ret == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
}
