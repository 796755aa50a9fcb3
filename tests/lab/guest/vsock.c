// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs in a guest: sockets to and from its host.
 *
 *	vsock send PORT    standard input to the host's PORT
 *	vsock take PORT    one connection on PORT, to standard output
 *	vsock cid          prints the number that this guest has
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what)
{
	fprintf(stderr, "vsock: %s: %s\n", what, strerror(errno));
	return 1;
}

static int copy(int from, int to)
{
	static char buf[65536];
	ssize_t n, done, put;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (done = 0; done < n; done += put) {
			put = write(to, buf + done, (size_t)(n - done));
			if (put <= 0)
				return fail("write");
		}
	return n ? fail("read") : 0;
}

static int own_cid(void)
{
	int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
	unsigned int cid = 0;

	if (fd < 0 || ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid))
		return fail("/dev/vsock");
	printf("%u\n", cid);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_vm addr = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST };
	int fd, peer;

	if (argc == 2 && !strcmp(argv[1], "cid"))
		return own_cid();
	if (argc != 3)
		return 2;
	addr.svm_port = (unsigned int)strtoul(argv[2], NULL, 0);
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail("socket");
	if (!strcmp(argv[1], "send"))
		return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? fail("connect")
									   : copy(0, fd);
	addr.svm_cid = VMADDR_CID_ANY;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		return fail("listen");
	puts("LISTENING");
	fflush(stdout);
	peer = accept(fd, NULL, NULL);
	return peer < 0 ? fail("accept") : copy(peer, 1);
}
