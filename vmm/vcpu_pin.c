// SPDX-License-Identifier: GPL-2.0-or-later
#include "vcpu_pin.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

/* One number. Advances *@p; -1 when there is none, CPU_SETSIZE for all that are too large. */
static int pin_number(const char **p)
{
	unsigned long n;
	char *end;

	if (!isdigit((unsigned char)**p))
		return -1;
	n = strtoul(*p, &end, 10);
	*p = end;
	return (int)MIN(n, (unsigned long)CPU_SETSIZE);
}

/* "0-1+8" up to a colon or the end. False: it is no set. */
static bool pin_set(const char **p, cpu_set_t *set, int *ret_max)
{
	*ret_max = -1;
	CPU_ZERO(set);
	for (;; (*p)++) {
		int first = pin_number(p), last = first, cpu;

		if (first >= 0 && **p == '-') {
			(*p)++;
			last = pin_number(p);
		}
		if (first < 0 || last < first)
			return false;
		for (cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
			CPU_SET(cpu, set);
		*ret_max = MAX(*ret_max, last);
		if (**p != '+')
			return **p == ':' || !**p;
	}
}

/* The CPUs of a set as "0-3+5". */
static void pin_text(const cpu_set_t *set, char *buf, size_t room)
{
	size_t len = 0;
	int cpu, last;

	buf[0] = '\0';
	for (cpu = 0; cpu < CPU_SETSIZE && len + 16 < room; cpu = last + 1) {
		last = cpu;
		if (!CPU_ISSET(cpu, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		len += (size_t)snprintf(buf + len, room - len, "%s%d", len ? "+" : "", cpu);
		if (last > cpu)
			len += (size_t)snprintf(buf + len, room - len, "-%d", last);
	}
}

static int pin_allowed(const char *list, const cpu_set_t *set, int max, struct err *err)
{
	cpu_set_t mine;
	char text[256];
	int cpu;

	/* Fails where the host has more CPUs than fit: then the threads will tell. */
	if (sched_getaffinity(0, sizeof(mine), &mine))
		return 0;
	for (cpu = 0; cpu <= max; cpu++) {
		if (cpu < CPU_SETSIZE && (!CPU_ISSET(cpu, set) || CPU_ISSET(cpu, &mine)))
			continue;
		pin_text(&mine, text, sizeof(text));
		return err_set(err, -EINVAL,
			       "pin=%s: CPU %d%s is not this process's; it may run on %s", list,
			       cpu, cpu == CPU_SETSIZE ? " or above" : "", text);
	}
	return 0;
}

int vcpu_pin_check(const char *list, unsigned int vcpus, struct err *err)
{
	const char *p = list;
	unsigned int n = 0;
	cpu_set_t set;
	int max, ret;

	do {
		p += n++ ? 1 : 0;
		if (!pin_set(&p, &set, &max))
			return err_set(err, -EINVAL,
				       "pin=%s: it takes a set of CPUs for each vCPU, or one for "
				       "all, such as 0-3:5 or 0-1+8",
				       list);
		ret = pin_allowed(list, &set, max, err);
		if (ret)
			return ret;
	} while (*p);
	if (n != 1 && n != vcpus)
		return err_set(err, -EINVAL,
			       "pin=%s: %u sets for %u vCPU%s; give one for each, or one for all",
			       list, n, vcpus, vcpus == 1 ? "" : "s");
	return 0;
}

void vcpu_pin_set(const char *list, unsigned int index, cpu_set_t *ret_set)
{
	int max;

	while (index-- && strchr(list, ':'))
		list = strchr(list, ':') + 1;
	pin_set(&list, ret_set, &max);
}
