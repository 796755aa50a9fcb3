/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of the host's CPUs a vCPU's thread may run on: "0-3:5" gives the first vCPU the CPUs 0 to 3
 * and the second CPU 5. There is a set for each vCPU, or one for all; CPUs and ranges of a set are
 * joined by plus signs: "0-1+8-9".
 */
#ifndef VIADUCT_VMM_VCPU_PIN_H
#define VIADUCT_VMM_VCPU_PIN_H

#include <sched.h>

struct err;

/* Is @list well formed, for @vcpus vCPUs, and are all its CPUs this process's? 0 or -EINVAL. */
int vcpu_pin_check(const char *list, unsigned int vcpus, struct err *err);
/* The set of vCPU @index out of a list that was checked. */
void vcpu_pin_set(const char *list, unsigned int index, cpu_set_t *ret_set);

#endif
