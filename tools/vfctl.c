// SPDX-License-Identifier: GPL-2.0-or-later
/* vfctl: looks after the host's PCI functions. The table of commands drives dispatch and help. */
#include "vfctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opt.h"
#include "base/util.h"
#include "sriov/inventory.h"
#include "sriov/use.h"

#define TIMEOUT_S 180 /* a card with 125 VFs was seen to take 65 s for them */
#define SECONDS_MAX 86400

static const struct vfctl_command commands[] = {
	{ "list", vfctl_list, "list [--json]",
	  "Lists all PCI functions: address, IDs, driver, IOMMU group, how it belongs to a PF or\n"
	  "VFs, network interfaces, class and name.\n",
	  BIT(OPT_JSON), 0, 0, false, false },
	{ "show", vfctl_show, "show FUNCTION [--json]",
	  "Shows all about one function: its group with the drivers that matter for viability,\n"
	  "its VFs, reset methods, NUMA node, capabilities, and who uses it.\n",
	  BIT(OPT_JSON), 1, 1, false, false },
	{ "explain", vfctl_explain, "explain FUNCTION [--json]",
	  "Says why the function's IOMMU group is what it is: who is in it and with which driver,\n"
	  "which bridge, port or card without ACS made it that large (root sees that), and what to\n"
	  "run before a guest can have it.\n",
	  BIT(OPT_JSON), 1, 1, false, false },
	{ "doctor", vfctl_doctor, "doctor [FUNCTION] [--json]",
	  "Examines whether this host can hand functions to guests, or that one: IOMMU, interrupt\n"
	  "remapping, kernel, KVM, memory, groups, SR-IOV, room for BARs, resets, what was left\n"
	  "behind. A line for each check, and what to do where something is not well.\n"
	  "Exit status: 0 nothing failed, 2 a check failed, 1 it could not be run.\n",
	  BIT(OPT_JSON), 0, 1, false, true },
	{ "create", vfctl_create, "create PF N [--driver NAME [--owner=USER]] [--force=KIND] [--json]",
	  "Gives the PF exactly N VFs, and with --driver binds each of them to that driver before\n"
	  "any other can touch it (\"none\": leaves them without one). Without --driver the\n"
	  "drivers are the kernel's choice, as the PF's sriov_drivers_autoprobe says.\n"
	  "VFs that are there already stay, if their number is right; else all are made anew,\n"
	  "which is refused while one of them is in use. If anything fails, all is put back.\n"
	  "With --owner that user may open them, as with bind.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_DRIVER) | BIT(OPT_OWNER) | BIT(OPT_VERBOSE) |
	  BIT(OPT_TIMEOUT), 2, 2, true, false },
	{ "destroy", vfctl_destroy, "destroy PF [--force=KIND] [--json]",
	  "Removes all VFs of the PF. Refused while one of them is in use.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_VERBOSE) | BIT(OPT_TIMEOUT), 1, 1, true, false },
	{ "bind", vfctl_bind, "bind FUNCTION... DRIVER [--owner=USER] [--force=KIND] [--json]",
	  "Binds the functions to a driver, all of them or none. \"default\" gives them back to\n"
	  "the driver that the kernel picks. Refused for a function that is in use: an interface\n"
	  "that is up with an address or a port of something, a mounted disk, an open device;\n"
	  "and for VFIO without those of its IOMMU group that the host would still drive.\n"
	  "With --owner the nodes of VFIO become that user's, who can then run guests with the\n"
	  "functions without root; they go with the driver.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_OWNER) | BIT(OPT_VERBOSE) |
	  BIT(OPT_TIMEOUT), 2, -1, true, false },
	{ "unbind", vfctl_unbind, "unbind FUNCTION... [--force=KIND] [--json]",
	  "Takes the functions from their drivers and leaves them without one.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_VERBOSE) | BIT(OPT_TIMEOUT), 1, -1, true, false },
	{ "plan", vfctl_plan, "plan [--file PATH] [--force=KIND] [--json]",
	  "Says which steps lead from what the host is to what the file asks for, in their order,\n"
	  "what each of them costs, whom it hits, and what is in the way. Changes nothing.\n"
	  "Exit status: 0 nothing to do, 2 there is, 1 it cannot be done or something failed.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_FILE), 0, 0, false, true },
	{ "apply", vfctl_apply, "apply [--file PATH] [--force=KIND] [--wait=SECONDS] [--json]",
	  "Makes the host as the file asks: VFs, drivers, settings, modes, pools. Run again it\n"
	  "writes nothing. If a step fails or is interrupted, all is put back; after a crash, run it\n"
	  "again. Refused where it would take something that is in use.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_FILE) | BIT(OPT_VERBOSE) | BIT(OPT_TIMEOUT) |
	  BIT(OPT_WAIT), 0, 0, true, false },
	{ "restore", vfctl_restore, "restore [--force=KIND] [--json]",
	  "Gives each function that apply ever touched the drivers, VFs, settings and mode that it\n"
	  "had before the first apply, and removes the pools.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_VERBOSE) | BIT(OPT_TIMEOUT), 0, 0, true, false },
	{ "status", vfctl_status, "status [--file PATH] [--json]",
	  "Holds the file against the host as it is now.\n"
	  "Exit status: 0 it is as the file says, 2 it is not, 1 something failed.\n",
	  BIT(OPT_JSON) | BIT(OPT_FILE), 0, 0, false, true },
	{ "set", vfctl_set, "set VF KEY=VALUE... [--force=KIND] [--json]",
	  "Changes settings of a VF that its PF has for it, all of them or none: mac, vlan, qos,\n"
	  "vlan-protocol, spoof-check, trust, link-state, min-rate, max-rate, node-guid, port-guid,\n"
	  "vectors, queues, online, namespaces. Only vectors, queues and online take the VF from its\n"
	  "driver meanwhile, which is refused while it is in use. show tells what they are.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_VERBOSE), 2, -1, true, false },
	{ "watch", vfctl_watch, "watch [--json]",
	  "Prints what happens to functions, a line each with the time, until it is interrupted:\n"
	  "functions that come and go, drivers, numbers of VFs, interfaces, nodes of VFIO. With\n"
	  "--json each line is an object.\n",
	  BIT(OPT_JSON), 0, 0, false, false },
	{ "export", vfctl_export, "export --format=NAME [POOL|FUNCTION...] [--file=PATH]",
	  "Writes down for other programs what can be handed over: the functions named, those of a\n"
	  "pool, or all that have a VFIO driver. Formats: cdi (devices of containers; of one pool,\n"
	  "they are viaduct.local/POOL, else viaduct.local/vfio), sriov-device-plugin (Kubernetes;\n"
	  "a resource for each pool), libvirt (<devices> of a domain). A file is replaced whole.\n",
	  BIT(OPT_FORMAT) | BIT(OPT_FILE), 0, -1, false, false },
	{ "clear", vfctl_clear, "clear FUNCTION... [--force=KIND] [--json]",
	  "Takes the functions out of quarantine, where viaduct puts one that did not survive a\n"
	  "reset and hands it to no guest. Refused while it still does not answer.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE), 1, -1, true, false },
	{ "acquire", vfctl_acquire, "acquire POOL|FUNCTION --owner=NAME [--pid=PID] [--json]",
	  "Hands a function, or any one of a pool, to the owner, and prints its address. Nobody\n"
	  "else is given it, no guest of viaduct's either, until it is released or, with --pid,\n"
	  "that process is no more. One that another owner left is reset, and its settings and\n"
	  "driver are put back, before it is handed out. Refused for one that is in use.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_OWNER) | BIT(OPT_PID) | BIT(OPT_VERBOSE), 1, 1,
	  true, false },
	{ "release", vfctl_release, "release [FUNCTION...] [--owner=NAME] [--force=KIND] [--json]",
	  "Ends the leases of the functions, or all those of the owner. Each function is reset,\n"
	  "gets back the driver and the settings that it had when it was handed out, and is put\n"
	  "into quarantine if that fails. With --force=unknown also a lease whose record cannot\n"
	  "be understood ends.\n",
	  BIT(OPT_JSON) | BIT(OPT_FORCE) | BIT(OPT_OWNER) | BIT(OPT_VERBOSE), 0, -1, true, false },
	{ "leases", vfctl_leases, "leases [--json]",
	  "Lists who has which function: held; work: a program gets it ready or cleans it up;\n"
	  "dirty: nobody has it, and it is cleaned up before the next has it. Takes back first\n"
	  "what owners left that are no more.\n",
	  BIT(OPT_JSON) | BIT(OPT_VERBOSE), 0, 0, true, false },
};

static const struct {
	const char *name;
	const char *arg; /* what its value is called, or NULL for none */
	const char *text;
} options[OPT_COUNT] = {
	[OPT_JSON] = { "json", NULL, "report as JSON" },
	[OPT_FORCE] = { "force", "KIND[,KIND]", "although it is in use in this way; a refusal names it" },
	[OPT_DRIVER] = { "driver", "NAME", "bind each VF to this driver" },
	[OPT_VERBOSE] = { "verbose", NULL, "print each write to the kernel on stderr" },
	[OPT_FILE] = { "file", "PATH", "the desired state (default /etc/vfctl.yaml); of export, where to" },
	[OPT_OWNER] = { "owner", "NAME", "who is to have it" },
	[OPT_PID] = { "pid", "PID", "the lease ends with this process" },
	[OPT_FORMAT] = { "format", "NAME", "cdi, sriov-device-plugin or libvirt" },
	[OPT_TIMEOUT] = { "timeout", "SECONDS", "how long the kernel may take over one write (180)" },
	[OPT_WAIT] = { "wait", "SECONDS", "for functions of the file that are not there yet (0)" },
};

static const char common_help[] =
	"  --sysfs-root DIR  a host's sysfs mounted elsewhere; DIR/../proc, ../dev and ../run\n"
	"                    are used too where they exist\n"
	"  --help            this text\n";

static const char function_help[] =
	"\nFUNCTION and PF are a PCI address (0000:01:10.0, 01:10.0), a network interface (eth0),\n"
	"PF/vfN (eth0/vf3) or PF/any (any VF that is free for use).\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted and put back.\n";

int vfctl_fail(const struct vfctl *v, const struct err *err)
{
	if (v->progress_shown)
		fputs("\r\033[K", stderr);
	fprintf(stderr, "vfctl: %s\n", err->msg);
	return err->code == -EINTR ? EXIT_STOPPED : EXIT_FAILED;
}

int vfctl_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("vfctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("; see: vfctl --help\n", stderr);
	return EXIT_USAGE;
}

static void pci_fatal(char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void pci_fatal(char *fmt, ...)
{
	va_list ap;

	fputs("vfctl: libpci: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(EXIT_FAILED);
}

struct pci_names *vfctl_names(struct vfctl *v)
{
	static const struct pci_names_ops ops = { .fatal = pci_fatal };
	struct pci_names *names = pci_names_new(&v->host, &ops);

	if (!names)
		pci_fatal((char *)"out of memory");
	return names;
}

static void print_help(const struct vfctl_command *only, FILE *out)
{
	unsigned int shown = only ? only->options : ~0u;
	char left[48];
	size_t i;

	if (only) {
		fprintf(out, "Usage: vfctl %s\n\n%s\n", only->synopsis, only->help);
	} else {
		fputs("vfctl looks after the host's PCI functions and SR-IOV VFs.\n\n", out);
		fputs("Usage:\n", out);
		for (i = 0; i < ARRAY_SIZE(commands); i++)
			fprintf(out, "  vfctl %s\n", commands[i].synopsis);
		fputs("  vfctl COMMAND --help\n  vfctl --version\n\n", out);
	}
	fputs("Options:\n", out);
	for (i = 0; i < OPT_COUNT; i++) {
		if (!(shown & BIT(i)))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", options[i].name, options[i].arg ? "=" : "",
			 options[i].arg ? options[i].arg : "");
		fprintf(out, "  %-19s %s\n", left, options[i].text);
	}
	fputs(common_help, out);
	fputs(function_help, out);
}

/* A closed 0, 1 or 2 would be given to the next file that is opened, and written to. */
static void keep_standard_fds(void)
{
	int fd;

	for (fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY);
	}
}

int vfctl_finish(int code)
{
	int saved;

	errno = 0;
	if (!ferror(stdout) && !fflush(stdout))
		return code;
	saved = errno;
	fprintf(stderr, "vfctl: cannot write the output: %s; give it somewhere to go\n",
		saved ? strerror(saved) : "the stream failed");
	return code == EXIT_DONE ? EXIT_FAILED : code;
}

static void option_take(struct vfctl *v, int c)
{
	switch (c) {
	case 's':
		v->sysfs_root = optarg;
		break;
	case 'h':
		v->help = true;
		break;
	case 'V':
		puts("vfctl " VIADUCT_VERSION);
		exit(vfctl_finish(EXIT_DONE));
	default:
		v->value[c] = optarg ? optarg : "";
	}
}

static int option_seconds(const struct vfctl *v, enum vfctl_opt opt, uint64_t min, unsigned int none,
			  unsigned int *ret)
{
	uint64_t seconds = none;

	if (v->value[opt] && (opt_parse_u64(v->value[opt], &seconds) || seconds < min ||
			      seconds > SECONDS_MAX))
		return vfctl_usage("--%s takes seconds, %u to %d", options[opt].name,
				   (unsigned int)min, SECONDS_MAX);
	*ret = (unsigned int)seconds;
	return EXIT_DONE;
}

static int parse_options(struct vfctl *v, int argc, char **argv)
{
	struct option all[OPT_COUNT + 4] = {
		[OPT_COUNT] = { "sysfs-root", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
	};
	struct err err = { .code = 0 };
	char shown[48];
	int c;

	for (c = 0; c < OPT_COUNT; c++)
		all[c] = (struct option){ options[c].name, options[c].arg ? required_argument
					  : no_argument, NULL, c };
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", all, NULL)) != -1) {
		if (c == ':' && optopt == OPT_FORCE)
			return vfctl_usage("--force needs the kind of use that it overrides, as "
					   "--force=KIND; the refusal names it");
		if (c == ':')
			return vfctl_usage("option \"%s\" needs a value",
					   host_printable(argv[optind - 1], shown, sizeof(shown)));
		if (c == '?')
			return vfctl_usage("there is no option \"%s\"",
					   host_printable(argv[optind - 1], shown, sizeof(shown)));
		option_take(v, c);
	}
	c = option_seconds(v, OPT_TIMEOUT, 1, TIMEOUT_S, &v->timeout_s);
	if (!c)
		c = option_seconds(v, OPT_WAIT, 0, 0, &v->wait_s);
	if (c)
		return c;
	if (v->value[OPT_FORCE] && use_kinds_parse(v->value[OPT_FORCE], &v->force, &err))
		return vfctl_usage("--force: %s", err.msg);
	return EXIT_DONE;
}

static const struct vfctl_command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int check_usage(const struct vfctl *v, const struct vfctl_command *c, int args)
{
	size_t i;

	for (i = 0; i < OPT_COUNT; i++) {
		if (v->value[i] && !(c->options & BIT(i)))
			return vfctl_usage("%s takes no --%s", c->name, options[i].name);
	}
	if (args < c->min_args || (c->max_args >= 0 && args > c->max_args))
		return vfctl_usage("usage: vfctl %s", c->synopsis);
	return EXIT_DONE;
}

static void show_progress(void *opaque, unsigned int done, unsigned int total)
{
	struct vfctl *v = opaque;

	if (total < 4)
		return;
	v->progress_shown = done < total;
	fprintf(stderr, "\r\033[K%s", "");
	if (done < total)
		fprintf(stderr, "%u of %u ready", done, total);
}

static void show_write(void *opaque, const char *path, const char *text, int result)
{
	(void)opaque;
	fprintf(stderr, "vfctl: write \"%.*s\" to %s: %s\n", (int)strcspn(text, "\n"), text, path,
		result ? strerror(-result) : "done");
}

int main(int argc, char **argv)
{
	struct vfctl v = { .sysfs_root = NULL };
	const struct vfctl_command *c;
	struct err err = { .code = 0 };
	char shown[48];
	int ret;

	keep_standard_fds();
	signal(SIGPIPE, SIG_IGN);
	ret = parse_options(&v, argc, argv);
	if (ret)
		return ret;
	c = optind < argc ? find_command(argv[optind]) : NULL;
	if (v.help) {
		print_help(c, stdout);
		return vfctl_finish(EXIT_DONE);
	}
	if (optind == argc) {
		print_help(NULL, stderr);
		return EXIT_USAGE;
	}
	if (!c)
		return vfctl_usage("there is no command \"%s\"",
				   host_printable(argv[optind], shown, sizeof(shown)));
	argc -= optind + 1;
	argv += optind + 1;
	ret = check_usage(&v, c, argc);
	if (ret)
		return c->tells_by_2 ? EXIT_FAILED : ret;
	if (host_init(&v.host, v.sysfs_root, &err))
		return vfctl_fail(&v, &err);
	v.host.report_opaque = &v;
	if (isatty(STDERR_FILENO) && !(v.value[OPT_VERBOSE]))
		v.host.progress = show_progress;
	if (v.value[OPT_VERBOSE])
		v.host.trace = show_write;
	if (c->changes)
		return vfctl_supervise(&v, c, argc, argv);
	return vfctl_finish(c->run(&v, argc, argv));
}
